// Films play by themselves while they are seen: at half speed, with a pause at each new plan.
(() => {
  'use strict'
  const SPEED = 0.5, PAUSE_MS = 700
  const APART_S = 0.4  // of the film: plans that follow each other faster would make it stutter
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches

  function watch(film) {
    const plans = film.dataset.newPlans.split(" ").filter(Boolean).map(Number)
    let before = 0, waiting = null, stood = -Infinity
    film.defaultPlaybackRate = film.playbackRate = SPEED
    const look = () => {
      const now = film.currentTime
      const isNew = now > before && now - before < 0.5 && plans.some(plan => before < plan && plan <= now)
      if (now < before) stood = -Infinity  // it begins again
      before = now
      if (isNew && now - stood > APART_S && !film.paused && !waiting) {
        stood = now
        film.pause()
        waiting = setTimeout(() => {
          waiting = null
          film.play().catch(() => {})
        }, PAUSE_MS)
      }
      film.requestVideoFrameCallback ? film.requestVideoFrameCallback(look) : setTimeout(look, 50)
    }
    // Whoever touches the film decides from then on.
    film.addEventListener("pointerdown", () => {
      clearTimeout(waiting)
      waiting = null
      plans.length = 0
    })
    look()
    if (still) return
    new IntersectionObserver(([seen]) => {
      if (seen.isIntersecting) film.play().catch(() => {})
      else film.pause()
    }, {threshold: 0.25}).observe(film)
  }

  document.querySelectorAll("video[data-new-plans]").forEach(watch)
})()
