// Everything here is extra: pages work without it.
(() => {
  "use strict";
  let offset = 0;
  const clock = () => { offset = Number(document.body.dataset.now) * 1000 - Date.now(); };
  clock();

  const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const span = (seconds) => {
    const parts = [];
    for (const [size, unit] of UNITS) {
      if (seconds >= size && parts.length < 2) {
        parts.push(`${Math.floor(seconds / size)} ${unit}`);
        seconds %= size;
      } else if (parts.length) break;
    }
    return parts.join(" ") || "0 s";
  };

  // Times that run down, and amounts that grow: `data-from` minor units at the page's time, `data-rate` more each second.
  const tick = () => {
    const now = (Date.now() + offset) / 1000;
    for (const element of document.querySelectorAll("[data-until]")) {
      const left = Math.floor(Number(element.dataset.until) - now);
      element.textContent = span(Math.max(0, left));
      // What ran out is made anew by the server.
      if (left < 0 && element.dataset.then === "fresh" && !document.hidden) {
        delete element.dataset.then;
        location.replace(location.href);
      }
    }
    const since = now - Number(document.body.dataset.now);
    for (const element of document.querySelectorAll("[data-rate]")) {
      const { from, rate, most, scale } = element.dataset;
      const minor = Math.floor(Math.min(Number(from) + Number(rate) * since, Number(most)));
      element.textContent = (minor / 10 ** Number(scale)).toFixed(Number(scale));
    }
  };
  tick();
  setInterval(tick, 1000);

  // A page that is outdated is loaded again, unless somebody is filling in its forms.
  let dirty = false;
  document.addEventListener("input", () => { dirty = true; });
  document.addEventListener("submit", () => { dirty = false; });
  const stale = () => {
    if (document.querySelector(".outdated")) return;
    const note = document.createElement("p");
    note.className = "notice outdated";
    note.setAttribute("role", "status");
    const link = document.createElement("a");
    link.href = location.href;
    link.textContent = "Load it again";
    note.append("Something on this page has changed. ", link);
    document.querySelector("main").prepend(note);
  };
  let loading = false, again = false, source;
  const listen = () => {
    if (source) source.close();
    source = new EventSource(document.body.dataset.live);
    source.addEventListener("changed", reload);
    source.addEventListener("error", () => { if (source.readyState === EventSource.CLOSED) stale(); });
  };
  // Whoever is among the page's parts with the keyboard, or has marked some of its text, would lose the place.
  const busy = () => {
    const at = document.activeElement, main = document.querySelector("main");
    const there = at && at !== main && main.contains(at) && !at.id && at.matches(":focus-visible");
    const marked = getSelection();
    return dirty || there || (!marked.isCollapsed && main.contains(marked.anchorNode));
  };
  const subjects = (live) => new URL(live, location.href).searchParams.get("of");
  const reload = async () => {
    if (loading) { again = true; return; }
    if (busy() || document.querySelector("main [data-keep]")) { stale(); return; }
    loading = true;
    try {
      const at = new URL(location.href);
      at.searchParams.delete("done");
      const answer = await fetch(at, { headers: { accept: "text/html" }, redirect: "manual" });
      const text = await answer.text();
      const fresh = answer.ok && new DOMParser().parseFromString(text, "text/html");
      if (fresh && fresh.querySelector("main") && !busy()) {
        const focused = document.activeElement && document.activeElement.id;
        const main = document.querySelector("main");
        const open = [...main.querySelectorAll("details[open]")].map((d) => d.id);
        const notice = main.querySelector(":scope > .notice:not(.outdated)");
        main.replaceChildren(...fresh.querySelector("main").childNodes);
        if (notice && !main.querySelector(":scope > .notice")) main.prepend(notice);
        for (const id of open) { if (id && document.getElementById(id)) document.getElementById(id).open = true; }
        document.body.dataset.now = fresh.body.dataset.now;
        const { live } = fresh.body.dataset;
        if (live && subjects(live) !== subjects(document.body.dataset.live)) {
          // It shows more than before, and hears of all of it.
          document.body.dataset.live = live;
          listen();
        }
        clock();
        tick();
        if (focused && document.getElementById(focused)) document.getElementById(focused).focus();
      } else stale();
    } catch { /* The stream connects again, and tells again. */ }
    loading = false;
    if (again) { again = false; reload(); }
  };
  if (document.body.dataset.live && window.EventSource) {
    listen();
    // Browsers have few connections to one host: pages that nobody looks at hold none.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) source.close();
      else { listen(); reload(); }
    });
    addEventListener("pagehide", () => source.close());
    addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
  }

  // The as-of slider goes where it is let go.
  document.addEventListener("change", (event) => {
    if (event.target.matches("input[type=range][data-go]")) event.target.form.requestSubmit();
  });
})();
