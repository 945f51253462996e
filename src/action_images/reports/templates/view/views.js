// One view: a picture, the spots of action images over it, and the tool's paths and axes drawn into it.

class ViewPanel {
  constructor(figure, doc, number, look, redraw) {
    this.redraw = redraw
    this.shown = null  // the frame whose pictures are on the screen
    this.canvas = figure.querySelector("canvas")
    this.state = figure.querySelector(".state")
    this.doc = doc
    this.number = number
    this.view = doc.views[number]
    this.look = look
    this.lines = doc.paths.map(linesOf)
    this.colours = doc.spot_key.map(([, colour]) => colour)
    const [height, width] = this.view.size
    this.canvas.style.aspectRatio = `${width} / ${height}`
    this.canvas.addEventListener("click", event => this.click(event))
  }

  // The frame that the picture on the screen is of: where pictures were thinned, the one before may be shown.
  pictured(frame) {
    const ground = this.layer(this.look.ground), shows = ground >= 0 && this.view.layers[ground].shows
    return shows ? shows.indexOf(shows[frame]) : frame
  }

  // A click on the tool, in pixels of the view (centres at +0.5), where clicking is switched on.
  click(event) {
    if (!this.look.clicking || !this.doc.is_episode || this.shown === null) return
    const box = this.canvas.getBoundingClientRect(), [rows, columns] = this.view.size
    const x = (event.clientX - box.left) / box.width * columns
    const y = (event.clientY - box.top) / box.height * rows
    const place = this.place(this.shown)
    if (!place) return CLICKS.refuse("no click: readers leave this frame out, between two parts of the episode")
    const {numbers, changes} = this.view.source
    CLICKS.add({...place, view: this.view.name, x, y, picture: numbers[this.pictured(this.shown)], changes})
    this.redraw()
  }

  // The episode of readers that a frame's picture belongs to, and its frame there; null if readers leave it out.
  place(frame) {
    const at = this.pictured(frame), part = this.doc.parts.find(({start, stop}) => start <= at && at < stop)
    return part ? {episode: part.id, frame: at - part.start} : null
  }

  layer(name) {
    return this.view.layers.findIndex(one => one.name === name)
  }

  // Which picture of a layer a frame shows.
  pictureOf(layer, frame) {
    const shows = this.view.layers[layer].shows
    return shows ? shows[frame] : frame
  }

  // The bitmaps that a frame needs: [bitmap or null, opacity]; parts that come next are asked for as well.
  bitmaps(pictures, frame, ahead) {
    const wanted = []
    const ground = this.layer(this.look.ground), over = this.layer(this.look.over)
    if (ground >= 0) wanted.push([ground, 0, 1])
    if (over >= 0 && this.view.layers[over].is_action) wanted.push([over, 1, this.look.opacity])
    return wanted.map(([layer, kind, opacity]) => {
      const bitmap = pictures.get(this.number, layer, kind, this.pictureOf(layer, frame))
      if (ahead !== null) {
        const part = Math.floor(this.pictureOf(layer, ahead) / pictures.framesInPart)
        pictures.want(this.number, layer, kind, part)
      }
      return [bitmap, opacity]
    })
  }

  // Draw a frame; returns whether all of its pictures were there.
  draw(pictures, frame, ahead) {
    const canvas = this.canvas, box = canvas.getBoundingClientRect()
    if (!box.width) return true
    const ratio = Math.min(window.devicePixelRatio || 1, 2), [rows, columns] = this.view.size
    const width = Math.round(box.width * ratio), height = Math.round(width * rows / columns)
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height})
    const bitmaps = this.bitmaps(pictures, frame, ahead)
    const isWhole = bitmaps.every(([bitmap]) => bitmap)
    this.state.textContent = isWhole ? "" : "loading"
    if (!isWhole) return false
    this.shown = frame
    const pen = canvas.getContext("2d")
    pen.globalAlpha = 1
    pen.fillStyle = "#0f1216"
    pen.fillRect(0, 0, width, height)
    for (const [bitmap, opacity] of bitmaps) {
      pen.globalAlpha = opacity
      pen.drawImage(bitmap, 0, 0, width, height)
    }
    pen.globalAlpha = 1
    const scale = width / columns
    if (this.view.camera) this.drawPaths(pen, frame, scale)
    if (this.view.spots && this.look.axes) this.drawSpots(pen, frame, scale)
    for (const {x, y} of CLICKS.of(this.place(frame), this.view.name))
      ring(pen, [x * scale, y * scale], this.unit(pen))
    return true
  }

  drawPaths(pen, frame, scale) {
    const camera = cameraAt(this.view.camera, frame)
    const place = point => {
      const pixels = project(camera, point)
      return pixels && pixels.map(value => value * scale)
    }
    this.doc.paths.forEach((path, number) => {
      if (!this.look.paths.has(number) || !isShown(path, frame)) return
      if (this.look.path) for (const [points, sure] of this.lines[number])
        strokeLine(pen, points.map(place), path.colour, {width: 1.5 * this.unit(pen), sure})
      if (this.look.axes) this.drawTool(pen, path, frame, place)
    })
  }

  unit(pen) {
    return Math.max(1, pen.canvas.width / 320)
  }

  drawTool(pen, path, frame, place) {
    const pose = poseIn(path, frame), spots = spotsAt(path, pose, this.doc.axis_length)
    if (!spots) return
    pen.globalAlpha = isSure(path, pose) ? 1 : 0.4
    drawTool(pen, spots.map(place), this.colours, this.unit(pen))
    pen.globalAlpha = 1
  }

  drawSpots(pen, frame, scale) {
    for (let spot = 0; spot < 3; spot++) {
      const at = this.view.spots.slice(6 * frame + 2 * spot, 6 * frame + 2 * spot + 2)
      if (at.includes(null)) continue
      pen.strokeStyle = this.colours[spot]
      pen.lineWidth = 2 * this.unit(pen)
      pen.beginPath()
      pen.arc(at[0] * scale, at[1] * scale, 5 * this.unit(pen), 0, 7)
      pen.stroke()
    }
  }
}

// A line through places (null: not to be seen), dashed and pale where it was not read.
function strokeLine(pen, places, colour, {width, sure}) {
  pen.strokeStyle = colour
  pen.lineWidth = width
  pen.globalAlpha = sure ? 0.9 : 0.4
  pen.setLineDash(sure ? [] : [3 * width, 3 * width])
  pen.lineJoin = "round"
  pen.beginPath()
  let isDown = false
  for (const place of places) {
    if (!place) isDown = false
    else if (isDown) pen.lineTo(...place)
    else {
      pen.moveTo(...place)
      isDown = true
    }
  }
  pen.stroke()
  pen.setLineDash([])
  pen.globalAlpha = 1
}

// The tool as its three spots: a dot for the position, a line with a dot for each axis.
function drawTool(pen, [origin, ...tips], colours, unit) {
  if (!origin) return
  tips.forEach((tip, number) => {
    if (!tip) return
    pen.strokeStyle = pen.fillStyle = colours[number + 1]
    pen.lineWidth = 2 * unit
    pen.beginPath()
    pen.moveTo(...origin)
    pen.lineTo(...tip)
    pen.stroke()
    dot(pen, tip, 2.5 * unit)
  })
  pen.fillStyle = colours[0]
  dot(pen, origin, 3.5 * unit)
}

function dot(pen, [x, y], radius) {
  pen.beginPath()
  pen.arc(x, y, radius, 0, 7)
  pen.fill()
}

// A click: a dark ring in a light one, which is seen on any picture.
function ring(pen, [x, y], unit) {
  for (const [colour, width] of [["#ffffff", 4], ["#000000", 1.5]]) {
    pen.strokeStyle = colour
    pen.lineWidth = width * unit
    pen.beginPath()
    pen.arc(x, y, 6 * unit, 0, 7)
    pen.stroke()
  }
}
