// What happens first: the entry in the page, or the list of the server that it came from; then the keys.

let player = null, list = null, asked = 0

function show(doc, fetchPart) {
  if (player) player.close()
  player = new Player(doc, fetchPart)
  $("shown").hidden = false
  $("nothing").hidden = true
  player.seek(player.frame)
}

// Open an entry of the list; where it fails, the page says why.
async function openEntry(entry) {
  const number = ++asked
  $("nothing").hidden = false
  $("nothing").textContent = `opening ${entry.id}`
  try {
    const doc = await (await askServer("document", {item: entry.number, id: entry.id})).json()
    if (number === asked) show(doc, servedParts(entry.number, entry.id))
  } catch (error) {
    if (number !== asked) return
    if (error.status === 409) list.load()
    if (player) player.close()
    player = null
    $("shown").hidden = true
    $("nothing").textContent = error.message
  }
}

const KEYS = {
  " ": () => player.toggle(),
  ArrowLeft: event => player.step(event.shiftKey ? -FRAMES_FAST : -1),
  ArrowRight: event => player.step(event.shiftKey ? FRAMES_FAST : 1),
  Home: () => player.step(-Infinity),
  End: () => player.step(Infinity),
  "+": () => changeSpeed(1),
  "-": () => changeSpeed(-1),
  o: () => choose($("over"), 1),
  g: () => choose($("ground"), 1),
  a: () => $("axes").click(),
  p: () => $("path").click(),
  l: () => $("loop").click(),
  c: () => $("clicking").parentElement.hidden || $("clicking").click(),
}

const LIST_KEYS = {
  n: () => list.walk(1),
  b: () => list.walk(-1),
  "/": () => $("search").focus(),
}

function choose(select, steps) {
  select.selectedIndex = (select.selectedIndex + steps + select.length) % select.length
  select.dispatchEvent(new Event("change"))
}

function changeSpeed(steps) {
  const select = $("speed")
  select.selectedIndex = Math.min(select.length - 1, Math.max(0, select.selectedIndex + steps))
}

function pressed(event) {
  const {target} = event
  if (event.ctrlKey || event.metaKey || event.altKey) return
  if (event.key === "Escape" && target.id === "search") return target.blur()
  const types = target.tagName === "SELECT" || target.type === "search"
  if (types || (event.key === " " && target.tagName === "BUTTON")) return
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key
  const act = (player && KEYS[key]) || (list && LIST_KEYS[key])
  if (!act) return
  event.preventDefault()
  act(event)
}

function listen() {
  document.addEventListener("keydown", pressed)
  $("speed").replaceChildren(...SPEEDS.map(speed => {
    const option = told("option", `${speed} x`)
    option.value = speed
    option.selected = speed === 1
    return option
  }))
  $("play").addEventListener("click", () => player.toggle())
  $("back").addEventListener("click", () => player.step(-1))
  $("forward").addEventListener("click", () => player.step(1))
  $("scrub").addEventListener("input", () => {
    player.pause()
    player.seek(Number($("scrub").value))
  })
  for (const name of ["ground", "over"]) $(name).addEventListener("change", () => {
    LOOK[name] = $(name).value
    player.draw()
  })
  $("opacity").addEventListener("input", () => {
    LOOK.opacity = Number($("opacity").value)
    player.draw()
  })
  for (const name of ["axes", "path"]) $(name).addEventListener("change", () => {
    LOOK[name] = $(name).checked
    player.draw()
  })
  $("clicking").addEventListener("change", () => {
    LOOK.clicking = $("clicking").checked
    $("views").classList.toggle("clicking", LOOK.clicking)
    CLICKS.tell()
    player.draw()
  })
  $("save-clicks").addEventListener("click", () => CLICKS.save())
  $("unclick").addEventListener("click", () => {
    CLICKS.undo()
    player.draw()
  })
  for (const [name, steps] of [["next", 1], ["previous", -1]])
    $(name).addEventListener("click", () => list.walk(steps))
  const redraw = () => player && player.draw()
  window.addEventListener("resize", redraw)
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw)
}

async function start() {
  listen()
  const inline = $("document")
  if (inline) return show(JSON.parse(inline.textContent), inlineParts())
  $("shelf").hidden = $("walk").hidden = false
  list = new List(openEntry)
  await list.load()
  const wanted = new URLSearchParams(location.search).get("episode")
  const there = wanted === null ? null : await list.answer(Number(wanted))
  const entry = (there && there.entries[0]) || list.entries[0]
  if (entry) list.choose(entry)
}

// What tests and curious people may ask: the frame, and whether all that it shows has arrived.
window.actionImages = {
  state: () => player && {
    id: player.doc.id, frame: player.frame, isPlaying: player.isPlaying, isWhole: player.isWhole,
    bytes: player.pictures.bytes, doc: player.doc, space: player.space,
  },
  clicks: () => CLICKS.csv(),
  project: (view, point, frame) => project(cameraAt(player.doc.views[view].camera, frame), point),
}

start()
