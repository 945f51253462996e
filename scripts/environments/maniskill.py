"""A Vulkan driver that draws on the processor, put into the environment where the system's is too old.

SAPIEN needs Mesa 24.3 or newer. Debian 12 has 22.3, and a newer one among its backports. That one is unpacked
into this environment, beside the system's packages: nothing that is installed changes. The adapter finds it
there.
"""

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

PLACE = Path(sys.prefix) / "share" / "vulkan"
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
RELEASE = "bookworm"


def main() -> None:
    """Can be run again."""
    if draws() or not is_debian_12():
        return
    package = unpack()
    print(f"maniskill: unpacked {package} into {PLACE}, because this system's Mesa is too old for SAPIEN")


def draws() -> bool:
    """Whether the adapter finds a driver that SAPIEN takes; asked in a process of its own."""
    lines = "from action_images.benchmarks.maniskill_views import require_driver; require_driver()"
    return subprocess.run([sys.executable, "-P", "-c", lines], capture_output=True).returncode == 0


def is_debian_12() -> bool:
    """Whether backports of Debian 12 fit this system."""
    release = Path("/etc/os-release")
    return KEYS.exists() and release.exists() and RELEASE in release.read_text()


def mirror() -> str:
    """The address from which this system's own apt gets its packages."""
    asked = ["apt-get", "indextargets", "--format", "$(SITE)", f"Codename: {RELEASE}"]
    sites = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.split()
    if not sites:
        sys.exit(
            f"maniskill: apt knows no source of {RELEASE}; run apt-get update, or install Mesa 24.3 or newer"
        )
    return sites[0]


def unpack() -> str:
    """Fetch the package, whose signature apt checks, and unpack it; root is not needed. Returns its name.

    Tried with 25.0.7-2~bpo12+1.
    """
    with TemporaryDirectory() as folder:
        source = f"deb [signed-by={KEYS}] {mirror()} {RELEASE}-backports main\n"
        (Path(folder) / "sources.list").write_text(source)
        for name in ("lists/partial", "cache/archives/partial"):
            (Path(folder) / name).mkdir(parents=True)
        options = {
            "Dir::Etc::SourceList": f"{folder}/sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": f"{folder}/lists",
            "Dir::Cache": f"{folder}/cache",
            "APT::Sandbox::User": "root",  # whoever runs this: no other user may write into the folder
        }
        apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
        subprocess.run([*apt, "update"], cwd=folder, check=True)
        subprocess.run([*apt, "download", "mesa-vulkan-drivers"], cwd=folder, check=True)
        (package,) = Path(folder).glob("*.deb")
        (PLACE / "icd.d").mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg", "--extract", str(package), str(PLACE / "mesa")], check=True)
    (library,) = (PLACE / "mesa").glob("usr/lib/*/libvulkan_lvp.so")
    driver = {"ICD": {"api_version": "1.4.305", "library_path": str(library)}, "file_format_version": "1.0.0"}
    (PLACE / "icd.d" / "lvp_icd.json").write_text(json.dumps(driver))
    return package.name


if __name__ == "__main__":
    main()
