// The list beside what is shown: found by words and facets, walked by keys, followed while it grows.

const POLL_MS = 1500

class List {
  constructor(open) {
    this.open = open
    this.entries = []
    this.chosen = null
    this.facets = {}
    this.ask = 0
    $("search").addEventListener("input", () => {
      clearTimeout(this.typing)
      this.typing = setTimeout(() => this.load(), 150)
    })
    $("entries").addEventListener("scroll", () => {
      const box = $("entries")
      if (box.scrollTop + box.clientHeight > box.scrollHeight - 400) this.loadMore()
    })
    setInterval(() => this.follow(), POLL_MS)
  }

  // The list from its beginning; an older answer that comes later is not looked at.
  async load() {
    const number = ++this.ask
    const answer = await this.answer(0)
    if (!answer || number !== this.ask) return
    this.entries = answer.entries
    this.matching = answer.matching
    this.version = answer.version
    this.isLive = answer.is_live
    $("title").textContent = answer.title
    $("count").textContent = answer.matching === answer.total
      ? `${answer.total}` : `${answer.matching} of ${answer.total}`
    $("notes").replaceChildren(...answer.notes.map(note => told("li", note)))
    $("notes").parentElement.hidden = !answer.notes.length
    if (!answer.total) $("nothing").textContent = "nothing to look at yet"
    $("newest").parentElement.hidden = !answer.is_live
    this.showFacets(answer.facets)
    $("entries").scrollTop = 0
    this.show()
  }

  async loadMore() {
    if (this.loading || this.entries.length >= this.matching) return
    this.loading = true
    const number = this.ask, answer = await this.answer(this.entries.length)
    this.loading = false
    if (!answer || number !== this.ask) return
    this.entries.push(...answer.entries)
    this.show()
  }

  async answer(start) {
    const values = {words: $("search").value, start}
    for (const [name, value] of Object.entries(this.facets)) if (value) values[`facet.${name}`] = value
    try {
      const answer = await (await askServer("list", values)).json()
      $("list-failure").textContent = ""
      return answer
    } catch (error) {
      const lost = error.status ? "" : "; is 'action-images view' still running?"
      $("list-failure").textContent = error.message + lost
      return null
    }
  }

  showFacets(facets) {
    $("facets").replaceChildren(...Object.entries(facets).map(([name, values]) => {
      const label = fresh("facet-template"), select = label.querySelector("select")
      label.querySelector(".name").textContent = name
      const all = told("option", "all")
      all.value = ""
      select.replaceChildren(all, ...values.map(([value, count]) => {
        const option = told("option", `${value} (${count})`)
        option.value = value
        return option
      }))
      select.value = this.facets[name] || ""
      select.addEventListener("change", () => {
        this.facets[name] = select.value
        this.load()
      })
      return label
    }))
  }

  show() {
    const before = $("entries").children.length <= this.entries.length ? $("entries").scrollTop : 0
    $("entries").replaceChildren(...this.entries.map(entry => {
      const item = fresh("entry-template"), button = item.querySelector("button")
      item.querySelector(".id").textContent = entry.id
      item.querySelector(".told").textContent = entry.told
      item.querySelector(".detail").textContent = entry.detail
      item.classList.toggle("error", entry.level === "error")
      item.classList.toggle("warning", entry.level === "warning")
      if (this.isChosen(entry)) button.setAttribute("aria-current", "true")
      button.addEventListener("click", () => this.choose(entry))
      return item
    }))
    $("entries").scrollTop = before
    if (!this.entries.length) $("entries").append(told("li", "nothing matches", "dim"))
  }

  isChosen(entry) {
    return this.chosen !== null && entry.id === this.chosen.id
  }

  place() {
    return this.entries.findIndex(entry => this.isChosen(entry))
  }

  // The next entry that matches, or the one before; more of the list is asked for where it ends.
  async walk(steps) {
    const at = this.place() + steps
    if (at >= this.entries.length) await this.loadMore()
    const entry = this.entries[Math.max(0, at)]
    if (entry) this.choose(entry)
  }

  async choose(entry) {
    this.chosen = entry
    for (const [at, item] of [...$("entries").children].entries()) {
      const button = item.querySelector("button"), isIt = this.entries[at] === entry
      if (!button) continue
      button.toggleAttribute("aria-current", isIt)
      if (isIt) item.scrollIntoView({block: "nearest"})
    }
    await this.open(entry)
  }

  // Ask whether anything is new; show the newest where that is wished for.
  async follow() {
    if (!this.isLive || document.hidden) return
    const answer = await askServer("version", {}).then(one => one.json()).catch(() => null)
    if (!answer || answer.version === this.version) return
    await this.load()
    const wanted = $("newest").checked || this.chosen === null
    if (wanted && this.entries.length) this.choose(this.entries[0])
  }
}
