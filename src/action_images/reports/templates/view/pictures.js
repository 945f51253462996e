// Where pictures come from: parts of some frames each, decoded once and kept within a bound of memory.

const MAX_BITMAP_BYTES = 160 * 2 ** 20

// The address of an answer of the server that this page came from.
const address = (name, values) => `${name}?${new URLSearchParams(values)}`

async function askServer(name, values) {
  const answer = await fetch(address(name, values), {cache: "no-store"})
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}))
    const error = new Error(told.error || `the server answers ${answer.status}`)
    error.status = answer.status
    throw error
  }
  return answer
}

// Pictures of an entry that a server opens.
const servedParts = (item, id) => async ([view, layer, over, part]) => {
  const answer = await askServer("part", {item, id, view, layer, over, part})
  return new Uint8Array(await answer.arrayBuffer())
}

// Pictures that lie in the page itself.
const inlineParts = () => async key => {
  const text = document.getElementById(`part-${key.join("-")}`).textContent
  return Uint8Array.from(atob(text), letter => letter.charCodeAt(0))
}

// A part as reports/viewing/encoded.py packs it: a count, then each picture with its length before it.
function unpacked(bytes) {
  const numbers = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const pictures = []
  let at = 4
  for (let i = 0; i < numbers.getUint32(0); i++) {
    const length = numbers.getUint32(at)
    pictures.push(new Blob([bytes.subarray(at + 4, at + 4 + length)]))
    at += 4 + length
  }
  return pictures
}

class Pictures {
  constructor(fetchPart, framesInPart, arrived, failed) {
    Object.assign(this, {fetchPart, framesInPart, arrived, failed})
    this.parts = new Map()
    this.bytes = 0
    this.closed = false
  }

  // The bitmap of a picture; null while it is on its way, and its part is asked for.
  get(view, layer, over, picture) {
    const part = Math.floor(picture / this.framesInPart)
    const kept = this.want(view, layer, over, part)
    return kept.bitmaps ? kept.bitmaps[picture - part * this.framesInPart] : null
  }

  want(view, layer, over, part) {
    const key = [view, layer, over, part], name = key.join("-")
    let kept = this.parts.get(name)
    if (kept) this.parts.delete(name)
    else this.load(key, kept = {bitmaps: null, bytes: 0})
    this.parts.set(name, kept)  // the last one asked for is the last to be forgotten
    return kept
  }

  async load(key, kept) {
    try {
      const pictures = unpacked(await this.fetchPart(key))
      const bitmaps = await Promise.all(pictures.map(one => createImageBitmap(one)))
      if (this.closed) return bitmaps.forEach(one => one.close())
      kept.bitmaps = bitmaps
      kept.bytes = bitmaps.reduce((sum, one) => sum + one.width * one.height * 4, 0)
      this.bytes += kept.bytes
      this.forget(kept)
      this.arrived()
    } catch (error) {
      if (!this.closed) this.failed(error)
    }
  }

  forget(newest) {
    for (const [name, old] of this.parts) {
      if (this.bytes <= MAX_BITMAP_BYTES) return
      if (old === newest || !old.bitmaps) continue
      this.parts.delete(name)
      this.bytes -= old.bytes
      old.bitmaps.forEach(one => one.close())
    }
  }

  close() {
    this.closed = true
    for (const kept of this.parts.values()) (kept.bitmaps || []).forEach(one => one.close())
    this.parts.clear()
  }
}
