// Puts the charts of a page in their places, switches its language, and keeps a page that is
// live up to date.
"use strict";

(() => {
  const { Chart, element } = globalThis.epochwise;
  const root = document.documentElement;
  const drawn = new Map(); // "run/chart" -> Chart
  let data = dataOf(document);
  let axis = "iteration";

  function dataOf(page) { return JSON.parse(page.getElementById("page-data").textContent); }

  // Language

  function chosenLanguage() {
    let kept = null;
    try { kept = localStorage.getItem("epochwise-language"); } catch { /* not allowed here */ }
    for (const language of kept ? [kept] : navigator.languages) {
      if (/^zh/i.test(language)) return "zh-CN";
      if (/^en/i.test(language)) return "en";
    }
    return "en";
  }

  function speak(language) {
    root.lang = language;
    for (const button of document.querySelectorAll("button[data-language]")) {
      button.setAttribute("aria-pressed", String(button.dataset.language === language));
    }
    for (const chart of drawn.values()) chart.speak();
    for (const table of document.querySelectorAll("table:has(.label)")) fit(table.parentElement);
  }

  // Charts

  function keyOf(figure) {
    return `${figure.closest("[data-run]")?.dataset.run ?? ""}/${figure.dataset.chart}`;
  }

  function specOf(figure) {
    const run = figure.closest("[data-run]")?.dataset.run;
    const charts = run === undefined ? data.compared : data.runs[Number(run)].charts;
    return charts.find((one) => one.id === figure.dataset.chart);
  }

  // Draw what is in sight and not drawn yet; a closed part waits until it is opened.
  function draw() {
    for (const figure of document.querySelectorAll("figure[data-chart]")) {
      const key = keyOf(figure);
      const spec = specOf(figure);
      const closed = figure.closest("details:not([open])");
      if (spec && !closed && !drawn.has(key)) drawn.set(key, new Chart(figure, spec));
    }
  }

  function listen(part) {
    label(part);
    for (const details of part.querySelectorAll("details")) details.addEventListener("toggle", draw);
    for (const choice of part.querySelectorAll("input[name=axis]")) {
      choice.checked = choice.value === axis;
      choice.addEventListener("change", () => {
        axis = choice.value;
        for (const [key, chart] of drawn) if (key.startsWith("/")) chart.against(axis);
      });
    }
  }

  // Where a wide table does not fit, each row is shown as a card: every cell gets its head.
  function label(part) {
    for (const table of part.querySelectorAll("table")) {
      const heads = table.querySelectorAll("thead th");
      if (heads.length < 5) continue;
      for (const row of table.querySelectorAll("tbody tr")) {
        [...row.children].forEach((cell, i) => {
          if (!cell.hasChildNodes()) return;
          const named = element("span", { class: "label" });
          named.append(...[...heads[i].childNodes].map((one) => one.cloneNode(true)));
          cell.replaceChildren(named, element("span", {}, ...cell.childNodes));
        });
      }
      fitting.observe(table.parentElement);
    }
  }

  const fitting = new ResizeObserver((entries) => { for (const one of entries) fit(one.target); });

  function fit(box) {
    const table = box.firstElementChild;
    table.classList.remove("cards");
    table.classList.toggle("cards", box.scrollWidth > box.clientWidth);
  }

  // Begin

  root.lang = chosenLanguage();
  for (const button of document.querySelectorAll("button[data-language]")) {
    button.addEventListener("click", () => {
      const { language } = button.dataset;
      try { localStorage.setItem("epochwise-language", language); } catch { /* for now only */ }
      speak(language);
    });
  }
  listen(document);
  draw();
  speak(root.lang);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const chart of drawn.values()) chart.look();
  });
  for (const when of ["beforeprint", "afterprint"]) {
    addEventListener(when, () => {
      for (const chart of drawn.values()) { chart.resize(); chart.look(); }
    });
  }
  Object.assign(globalThis.epochwise, { drawn, data: () => data });
  requestAnimationFrame(() => { root.dataset.drawn = String(Math.round(performance.now())); });

  // Live

  const note = document.getElementById("live");
  if (note) follow();

  async function follow() {
    let version = note.dataset.version;
    for (let spent = 0; note.dataset.state === "going"; ) {
      // Looking may take a hundredth of the time, so that the training keeps the rest.
      await new Promise((wake) => setTimeout(wake, Math.max(2000, 100 * spent)));
      if (document.hidden) continue;
      try {
        const now = await (await fetch("version", { cache: "no-store" })).text();
        if (now === version) continue;
        const began = performance.now();
        renew(await fetchPage());
        version = now;
        spent = performance.now() - began;
      } catch {
        note.dataset.state = "lost";
      }
    }
  }

  function fetchPage() {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("GET", location.pathname);
      request.responseType = "document";
      request.onload = () => (request.status === 200 ? resolve(request.response) : reject());
      request.onerror = reject;
      request.send();
    });
  }

  // Put a newer page in place of this one; charts stay and are given the newer numbers.
  function renew(page) {
    data = dataOf(page);
    const old = document.getElementById("main");
    const main = document.adoptNode(page.getElementById("main"));
    const open = [...old.querySelectorAll("details")].map((one) => one.open);
    main.querySelectorAll("details").forEach((one, i) => { one.open = open[i] ?? one.open; });
    const figures = new Map([...old.querySelectorAll("figure[data-chart]")].map((one) => [keyOf(one), one]));
    for (const figure of main.querySelectorAll("figure[data-chart]")) {
      const key = keyOf(figure);
      if (drawn.has(key) && figures.has(key)) figure.replaceWith(figures.get(key));
      else drawn.delete(key);
    }
    listen(main);
    old.replaceWith(main);
    note.dataset.state = page.getElementById("live").dataset.state;
    for (const figure of main.querySelectorAll("figure[data-chart]")) {
      drawn.get(keyOf(figure))?.update(specOf(figure));
    }
    draw();
    root.dataset.renewed = String(Number(root.dataset.renewed ?? 0) + 1);
  }
})();
