// Cameras and paths in three dimensions, turned with the pointer or the arrow keys; z is up.

class Space {
  constructor(canvas, doc, look) {
    Object.assign(this, {canvas, doc, look})
    this.lines = doc.paths.map(linesOf)
    this.colours = doc.spot_key.map(([, colour]) => colour)
    this.reset()
    canvas.addEventListener("pointerdown", event => {
      canvas.setPointerCapture(event.pointerId)
      this.last = [event.clientX, event.clientY]
    })
    canvas.addEventListener("pointermove", event => this.dragged(event))
    canvas.addEventListener("wheel", event => {
      event.preventDefault()
      this.zoom(event.deltaY > 0 ? 1 / 1.15 : 1.15)
    }, {passive: false})
    canvas.addEventListener("dblclick", () => this.again(() => this.reset()))
    canvas.addEventListener("keydown", event => this.pressed(event))
  }

  // As it was at first: everything in the picture, seen from a little above.
  reset() {
    const points = this.points()
    const low = [0, 1, 2].map(axis => Math.min(...points.map(point => point[axis])))
    const high = [0, 1, 2].map(axis => Math.max(...points.map(point => point[axis])))
    this.middle = low.map((value, axis) => (value + high[axis]) / 2)
    this.reach = Math.max(0.05, ...points.map(point => Math.hypot(...point.map((v, a) => v - this.middle[a]))))
    this.floor = low[2]
    this.turn = -0.9
    this.tilt = 0.5
    this.scale = 1
  }

  // What the first look must hold: where the tool ever is, and where the cameras are.
  points() {
    const points = []
    for (const lines of this.lines) for (const [line] of lines) points.push(...thinned(line, 200))
    for (const view of this.doc.views) {
      if (!view.camera) continue
      const {m} = cameraAt(view.camera, 0)
      points.push([m[3], m[7], m[11]])
    }
    return points.length ? points : [[0, 0, 0]]
  }

  dragged(event) {
    if (!event.buttons || !this.last) return
    this.again(() => {
      this.turn -= (event.clientX - this.last[0]) * 0.01
      this.tilt = Math.min(1.5, Math.max(-1.5, this.tilt + (event.clientY - this.last[1]) * 0.01))
      this.last = [event.clientX, event.clientY]
    })
  }

  pressed(event) {
    const step = {ArrowLeft: [0.1, 0], ArrowRight: [-0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1]}[event.key]
    if (step) this.again(() => {
      this.turn += step[0]
      this.tilt = Math.min(1.5, Math.max(-1.5, this.tilt + step[1]))
    })
    else if (event.key === "+" || event.key === "-") this.zoom(event.key === "+" ? 1.15 : 1 / 1.15)
    else return
    event.preventDefault()
    event.stopPropagation()
  }

  zoom(factor) {
    this.again(() => this.scale = Math.min(20, Math.max(0.2, this.scale * factor)))
  }

  again(change) {
    change()
    this.draw(this.frame)
  }

  // Where a world point (m) lies in the picture (px); parallel projection.
  place(point) {
    const d = point.map((value, axis) => value - this.middle[axis])
    const [c, s] = [Math.cos(this.turn), Math.sin(this.turn)], [ct, st] = [Math.cos(this.tilt), Math.sin(this.tilt)]
    const right = c * d[0] + s * d[1], away = -s * d[0] + c * d[1]
    const up = ct * d[2] + st * away
    const unit = this.scale * 0.46 * Math.min(this.canvas.width, this.canvas.height) / this.reach
    return [this.canvas.width / 2 + unit * right, this.canvas.height / 2 - unit * up]
  }

  draw(frame) {
    this.frame = frame
    const canvas = this.canvas, box = canvas.getBoundingClientRect()
    if (!box.width) return
    const ratio = window.devicePixelRatio || 1
    const width = Math.round(box.width * ratio), height = Math.round(box.height * ratio)
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height})
    const pen = canvas.getContext("2d")
    pen.clearRect(0, 0, width, height)
    this.drawFloor(pen, ratio)
    for (const view of this.doc.views) if (view.camera) this.drawCamera(pen, view, frame, ratio)
    this.doc.paths.forEach((path, number) => {
      if (!this.look.paths.has(number) || !isShown(path, frame)) return
      for (const [points, sure] of this.lines[number])
        strokeLine(pen, points.map(point => this.place(point)), path.colour, {width: 2 * ratio, sure})
      const pose = poseIn(path, frame), spots = spotsAt(path, pose, this.doc.axis_length)
      if (!spots) return
      const [x, y] = this.place(spots[0])
      pen.globalAlpha = 0.5
      pen.strokeStyle = path.colour
      pen.lineWidth = ratio
      segment(pen, [x, y], this.place([spots[0][0], spots[0][1], this.floor]))
      pen.globalAlpha = isSure(path, pose) ? 1 : 0.4
      drawTool(pen, spots.map(point => this.place(point)), this.colours, 1.3 * ratio)
      pen.globalAlpha = 1
    })
  }

  // Squares of 10 cm below everything, or larger ones where that would be many.
  drawFloor(pen, ratio) {
    const side = [0.1, 0.5, 1, 5, 10, 100, 1000].find(one => this.reach / one < 14) || 10000
    const count = Math.ceil(0.75 * this.reach / side)
    const [cx, cy] = [0, 1].map(axis => Math.round(this.middle[axis] / side) * side)
    pen.strokeStyle = styled("line")
    pen.lineWidth = ratio
    for (let i = -count; i <= count; i++) {
      segment(pen, this.place([cx + i * side, cy - count * side, this.floor]),
        this.place([cx + i * side, cy + count * side, this.floor]))
      segment(pen, this.place([cx - count * side, cy + i * side, this.floor]),
        this.place([cx + count * side, cy + i * side, this.floor]))
    }
    pen.fillStyle = styled("dim")
    pen.font = `${11 * ratio}px system-ui, sans-serif`
    const told = side < 1 ? `${Math.round(100 * side)} cm` : `${side} m`
    pen.fillText(`squares of ${told}`, 8 * ratio, pen.canvas.height - 8 * ratio)
  }

  // A camera as the pyramid of what it sees, with its name.
  drawCamera(pen, view, frame, ratio) {
    const camera = cameraAt(view.camera, frame), [height, width] = view.size, depth = 0.22 * this.reach
    const eye = this.place([camera.m[3], camera.m[7], camera.m[11]])
    const corners = [[0, 0], [width, 0], [width, height], [0, height]]
      .map(corner => this.place(unproject(camera, corner, depth)))
    pen.strokeStyle = styled("accent")
    pen.lineWidth = 1.2 * ratio
    corners.forEach((corner, number) => {
      segment(pen, eye, corner)
      segment(pen, corner, corners[(number + 1) % 4])
    })
    pen.lineWidth = 2.5 * ratio
    segment(pen, corners[0], corners[1])  // the upper edge of the picture
    pen.fillStyle = styled("ink")
    pen.font = `${12 * ratio}px system-ui, sans-serif`
    const x = Math.min(eye[0] + 6 * ratio, pen.canvas.width - pen.measureText(view.name).width - 4 * ratio)
    pen.fillText(view.name, Math.max(4 * ratio, x), Math.max(14 * ratio, eye[1] - 6 * ratio))
  }
}

// Some of the items, evenly spread.
const thinned = (items, most) => items.filter((_, at) => at % Math.ceil(items.length / most) === 0)
