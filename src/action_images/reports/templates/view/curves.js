// Numbers over time: position, orientation, gripper and confidence, with a cursor that follows the frame.

const CHARTS = [
  {name: "position", unit: "m", lines: ["x", "y", "z"], values: path => columns(path.positions, 3)},
  {name: "orientation", unit: "deg", lines: ["x", "y", "z"], values: path => columns(path.angles_deg, 3)},
  {name: "gripper", unit: "", lines: ["opening"], values: path => [path.opening], range: [0, 1]},
  {name: "confidence", unit: "", lines: ["confidence"], range: [0, 1],
    values: path => path.confidence && [path.confidence]},
]

const columns = (flat, count) => Array.from({length: count}, (_, column) =>
  Array.from({length: flat.length / count}, (_, row) => flat[count * row + column]))

// The colour of a name in the page's style, which knows dark and light.
const styled = name => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()

class Chart {
  constructor(figure, kind, doc, look, seek) {
    this.canvas = figure.querySelector("canvas")
    this.values = figure.querySelector(".values")
    Object.assign(this, {kind, doc, look})
    this.paths = doc.paths.map(path => kind.values(path) || null)
    this.range = kind.range || this.rangeOf()
    const follow = event => {
      const box = this.canvas.getBoundingClientRect()
      const share = (event.clientX - box.left) / box.width
      seek(Math.round(Math.min(1, Math.max(0, share)) * (doc.num_frames - 1)))
    }
    this.canvas.addEventListener("pointerdown", event => {
      this.canvas.setPointerCapture(event.pointerId)
      follow(event)
    })
    this.canvas.addEventListener("pointermove", event => event.buttons && follow(event))
  }

  // The least and greatest known values, a little apart where they are the same.
  rangeOf() {
    let low = Infinity, high = -Infinity
    for (const lines of this.paths) for (const line of lines || []) for (const value of line) {
      if (value === null) continue
      low = Math.min(low, value)
      high = Math.max(high, value)
    }
    if (low > high) return [0, 1]
    const room = Math.max((high - low) * 0.05, 1e-3)
    return [low - room, high + room]
  }

  draw(frame) {
    const box = this.canvas.getBoundingClientRect()
    if (!box.width) return
    const ratio = window.devicePixelRatio || 1
    const width = Math.round(box.width * ratio), height = Math.round(box.height * ratio)
    if (this.canvas.width !== width || this.canvas.height !== height)
      Object.assign(this.canvas, {width, height})
    const pen = this.canvas.getContext("2d"), [low, high] = this.range
    const x = at => at / Math.max(1, this.doc.num_frames - 1) * (width - 2) + 1
    const y = value => height - (value - low) / (high - low) * (height - 4) - 2
    pen.clearRect(0, 0, width, height)
    pen.strokeStyle = styled("line")
    pen.lineWidth = ratio
    if (low < 0 && high > 0) segment(pen, [0, y(0)], [width, y(0)])
    this.doc.paths.forEach((path, number) => {
      if (this.paths[number] && this.look.paths.has(number)) this.drawPath(pen, number, x, y, ratio)
    })
    pen.strokeStyle = styled("ink")
    pen.globalAlpha = 0.6
    segment(pen, [x(frame), 0], [x(frame), height])
    pen.globalAlpha = 1
    this.tell(frame)
  }

  drawPath(pen, number, x, y, ratio) {
    const path = this.doc.paths[number]
    pen.setLineDash(number ? [4 * ratio, 3 * ratio] : [])
    pen.lineWidth = 1.5 * ratio
    this.paths[number].forEach((line, which) => {
      pen.strokeStyle = styled(`line-${which}`)
      pen.beginPath()
      let isDown = false
      line.forEach((value, pose) => {
        const at = pose + path.start
        if (value === null || !isShown(path, at)) isDown = false
        else if (isDown) pen.lineTo(x(at), y(value))
        else {
          pen.moveTo(x(at), y(value))
          isDown = true
        }
      })
      pen.stroke()
    })
    pen.setLineDash([])
  }

  // The values at the cursor in words, those of the first path that has any.
  tell(frame) {
    const number = this.doc.paths.findIndex((path, one) =>
      this.paths[one] && this.look.paths.has(one) && isShown(path, frame))
    const path = this.doc.paths[number]
    this.values.replaceChildren(...(path ? this.kind.lines : []).map((name, which) => {
      const value = this.paths[number][which][poseIn(path, frame)]
      const told = document.createElement("span")
      told.className = `line-${which}`
      const isKnown = value !== null && value !== undefined
      told.textContent = `${name} ${isKnown ? (value + 0).toFixed(this.digits()).replace(/^-(0(\.0*)?)$/, "$1") : "?"}`
      return told
    }))
  }

  digits() {
    return {m: 3, deg: 1}[this.kind.unit] || 2
  }
}

function segment(pen, from, to) {
  pen.beginPath()
  pen.moveTo(...from)
  pen.lineTo(...to)
  pen.stroke()
}
