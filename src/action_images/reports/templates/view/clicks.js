// Clicks on the tool, which `action-images calibrate from_motion --clicks` takes: kept from one entry to the
// next, shown as rings, and saved as a csv file of episode, frame, view, pixel, and the picture of the video.

const CLICKS_FILE = "clicks.csv"

class Clicks {
  constructor() {
    this.rows = []
  }

  add(row) {
    this.rows.push(row)
    this.tell()
  }

  undo() {
    this.rows.pop()
    this.tell()
  }

  // Those that a view shows in a frame of an episode (null: in none).
  of(place, view) {
    if (!place) return []
    const {episode, frame} = place
    return this.rows.filter(row => row.episode === episode && row.view === view && row.frame === frame)
  }

  refuse(why) {
    $("clicked").textContent = why
  }

  tell() {
    const {length} = this.rows, last = this.rows[length - 1]
    $("clicks").hidden = !$("clicking").checked && !length
    $("unclick").disabled = $("save-clicks").disabled = !length
    const where = last && `; the last: frame ${last.frame} of ${last.view}, ${last.x.toFixed(1)} ${last.y.toFixed(1)} px`
    $("clicked").textContent = length ? `${length} ${length === 1 ? "click" : "clicks"}${where}` : CLICKS_ASKED
  }

  csv() {
    const lines = this.rows.map(({episode, frame, view, x, y, picture, changes}) =>
      [cell(episode), frame, cell(view), x.toFixed(2), y.toFixed(2), picture, cell(changes)].join(","))
    return ["episode,frame,view,x,y,picture,changes", ...lines, ""].join("\n")
  }

  save() {
    const link = document.createElement("a")
    link.href = URL.createObjectURL(new Blob([this.csv()], {type: "text/csv"}))
    link.download = CLICKS_FILE
    link.click()
    setTimeout(() => URL.revokeObjectURL(link.href), 1000)
  }
}

const CLICKS_ASKED = "click on the point between the finger tips, 3 to 6 times in each view, in frames far apart"

// A name as a csv file has it.
const cell = name => /[",\n\r]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name

const CLICKS = new Clicks()
