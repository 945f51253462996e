// The clock of what is shown: play, scrub, speed and what is laid over what.

const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4]
const FRAMES_FAST = 10

const $ = id => document.getElementById(id)

// A copy of a template's first element.
const fresh = id => $(id).content.firstElementChild.cloneNode(true)

// An element with text alone in it: names of strangers never become markup.
function told(tag, text, name = "") {
  const element = document.createElement(tag)
  element.textContent = text
  element.className = name
  return element
}

// What is switched on; kept from one entry to the next.
const LOOK = {ground: null, over: null, opacity: 1, path: true, axes: true, clicking: false, paths: new Set()}

class Player {
  constructor(doc, fetchPart) {
    this.doc = doc
    this.frame = 0
    this.isPlaying = false
    this.pictures = new Pictures(fetchPart, doc.frames_in_part, () => this.draw(), error => this.fail(error))
    this.showWords()
    LOOK.paths = new Set(doc.paths.keys())
    this.chooseLayers()
    this.panels = doc.views.map((view, number) => this.addView(view, number))
    this.charts = CHARTS.filter(kind => doc.paths.some(kind.values)).map(kind => this.addChart(kind))
    $("space").hidden = !doc.paths.length && !doc.views.some(view => view.camera)
    const canvas = $("space").querySelector("canvas"), own = canvas.cloneNode()
    canvas.replaceWith(own)  // without the listeners of the entry before
    this.space = $("space").hidden ? null : new Space(own, doc, LOOK)
    $("scrub").max = Math.max(0, doc.num_frames - 1)
    $("controls").hidden = doc.num_frames < 1
    $("clicking").parentElement.hidden = !doc.is_episode
    CLICKS.tell()
    this.showPaths()
    this.showKey()
    this.seek(0)
  }

  close() {
    this.pause()
    this.pictures.close()
  }

  showWords() {
    const {doc} = this
    document.title = doc.id
    $("id").textContent = doc.id
    $("instruction").textContent = doc.instruction === null ? "no instruction" : `“${doc.instruction}”`
    $("instruction").classList.toggle("dim", doc.instruction === null)
    const length = doc.num_frames ? [["frames", `${doc.num_frames} at ${+doc.fps.toFixed(3)}/s`]] : []
    $("facts").replaceChildren(...[...length, ...doc.facts].flatMap(([name, value]) =>
      [told("dt", name), told("dd", value)]))
    $("warnings").replaceChildren(
      ...doc.warnings.map(([level, text]) => told("li", `${level}: ${text}`, level)),
      ...doc.notes.map(text => told("li", text, "dim")))
    $("views").replaceChildren()
    $("curves").replaceChildren()
    $("failure").textContent = ""
  }

  // What can be chosen in any view, in the order of the layers.
  names(only = () => true) {
    const names = this.doc.views.flatMap(view => view.layers.filter(only).map(layer => layer.name))
    return [...new Set(names)]
  }

  chooseLayers() {
    const grounds = this.names(), overs = this.names(layer => layer.is_action)
    if (!grounds.includes(LOOK.ground) && LOOK.ground !== "") LOOK.ground = grounds[0] ?? ""
    if (!overs.includes(LOOK.over) && LOOK.over !== "") LOOK.over = overs[0] ?? ""
    options($("ground"), grounds, LOOK.ground)
    options($("over"), overs, LOOK.over)
    $("over").parentElement.hidden = $("opacity").parentElement.hidden = !overs.length
  }

  addView(view, number) {
    const figure = fresh("view-template")
    const about = view.camera ? "" : this.doc.paths.length ? ", not calibrated: no path is drawn" : ""
    figure.querySelector(".name").textContent = `${view.name}, ${view.size[1]} x ${view.size[0]} px${about}`
    figure.querySelector("canvas").setAttribute("aria-label", `view ${view.name}`)
    $("views").append(figure)
    return new ViewPanel(figure, this.doc, number, LOOK, () => this.draw())
  }

  addChart(kind) {
    const figure = fresh("curve-template")
    figure.querySelector("b").textContent = kind.unit ? `${kind.name}, ${kind.unit}` : kind.name
    figure.querySelector("canvas").setAttribute("aria-label", `${kind.name} over time`)
    $("curves").append(figure)
    const chart = new Chart(figure, kind, this.doc, LOOK, frame => this.seek(frame))
    figure.querySelector(".high").textContent = chart.range[1].toFixed(chart.digits())
    figure.querySelector(".low").textContent = chart.range[0].toFixed(chart.digits())
    return chart
  }

  // A switch for each path that is always there, one for all plans that come and go.
  showPaths() {
    const groups = new Map()
    this.doc.paths.forEach((path, number) => {
      const name = path.shown ? "plans" : path.name
      groups.set(name, [...(groups.get(name) || []), number])
    })
    $("paths").replaceChildren(...[...groups].map(([name, numbers]) => {
      const label = fresh("path-template"), box = label.querySelector("input")
      label.querySelector(".swatch").style.background = this.doc.paths[numbers[0]].colour
      label.querySelector(".name").textContent = name
      box.addEventListener("change", () => {
        for (const number of numbers) LOOK.paths[box.checked ? "add" : "delete"](number)
        this.draw()
      })
      return label
    }))
  }

  // What the colours mean; where poses were placed between those that were read, how these look.
  showKey() {
    const names = this.doc.paths.length || this.doc.views.some(view => view.spots) ? this.doc.spot_key : []
    const unsure = this.doc.paths.some(path => (path.confidence || []).includes(0))
    const note = told("li", "pale and dashed: not read, placed between neighbours", "dim")
    $("key").replaceChildren(...names.map(([name, colour]) => {
      const item = fresh("key-template")
      item.querySelector(".swatch").style.background = colour
      item.querySelector(".name").textContent = name
      return item
    }), ...(unsure ? [note] : []))
  }

  seek(frame) {
    this.frame = Math.min(Math.max(0, frame), Math.max(0, this.doc.num_frames - 1))
    this.draw()
  }

  step(frames) {
    this.pause()
    this.seek(this.frame + frames)
  }

  play() {
    if (this.doc.num_frames < 2) return
    if (this.frame >= this.doc.num_frames - 1) this.frame = 0
    this.isPlaying = true
    this.before = null
    this.debt = 0
    requestAnimationFrame(now => this.tick(now))
    this.showState()
  }

  pause() {
    this.isPlaying = false
    this.showState()
  }

  toggle() {
    this.isPlaying ? this.pause() : this.play()
  }

  // One turn of the clock: no frame is left out that has not arrived yet, the clock waits for it.
  tick(now) {
    if (!this.isPlaying) return
    const passed = this.before === null ? 0 : Math.min(0.25, (now - this.before) / 1000)
    this.before = now
    this.debt += passed * this.doc.fps * Number($("speed").value)
    const due = Math.floor(this.debt)
    if (due && this.isWhole) {
      this.debt -= due
      this.frame = Math.min(this.frame + due, this.doc.num_frames - 1)
      this.draw()
      if (this.frame === this.doc.num_frames - 1) {
        if (!$("loop").checked) return this.pause()
        this.frame = 0
      }
    } else if (due) this.debt = 1
    requestAnimationFrame(again => this.tick(again))
  }

  draw() {
    const {frame} = this, ahead = Math.min(frame + this.doc.frames_in_part, this.doc.num_frames - 1)
    const whole = this.panels.map(panel => panel.draw(this.pictures, frame, this.isPlaying ? ahead : null))
    this.isWhole = whole.every(Boolean)
    this.charts.forEach(chart => chart.draw(frame))
    if (this.space) this.space.draw(frame)
    $("scrub").value = frame
    const seconds = (frame / this.doc.fps).toFixed(2), last = Math.max(0, this.doc.num_frames - 1)
    $("clock").textContent = `frame ${frame} of ${last}, ${seconds} s`
    const plan = this.doc.paths.find(path => path.shown && isShown(path, frame))
    $("plan").textContent = plan ? plan.name : ""
  }

  showState() {
    $("play").textContent = this.isPlaying ? "❚❚" : "▶"
    $("play").setAttribute("aria-label", this.isPlaying ? "pause" : "play")
  }

  fail(error) {
    this.pause()
    $("failure").textContent = error.message
  }
}

function options(select, names, chosen) {
  select.replaceChildren(...["", ...names].map(name => {
    const option = told("option", name || "nothing")
    option.value = name
    option.selected = name === chosen
    return option
  }))
}
