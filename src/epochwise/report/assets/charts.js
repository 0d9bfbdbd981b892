// Charts of iterations below and epochs above, drawn by uPlot.
// Names from the record only ever become text: by textContent, or on a canvas.
"use strict";

globalThis.epochwise = (() => {
  const root = document.documentElement;
  const words = JSON.parse(document.getElementById("page-data").textContent).words;

  function word(key) { return words[root.lang][key]; }

  function named(thing) { return thing.names[root.lang] ?? thing.names.en; }

  function colour(name) { return getComputedStyle(root).getPropertyValue(`--${name}`).trim(); }

  function numberText(value) {
    if (value === null || value === undefined) return "–";
    if (Number.isInteger(value)) return value.toLocaleString("en");
    const size = Math.abs(value);
    if (size >= 1e4) return Math.round(value).toLocaleString("en");
    return size >= 1e-3 ? String(Number(value.toPrecision(4))) : value.toExponential(2);
  }

  // The labels of an axis: as short as tells them apart, all written in one way.
  function axisTexts(splits) {
    const values = splits.filter((value) => value !== null);
    const sizes = values.map(Math.abs).filter((size) => size > 0);
    const largest = Math.max(0, ...sizes);
    const plain = values.every(Number.isInteger) ? largest < 1e7 : largest < 1e5 && Math.min(...sizes) >= 1e-4;
    const write = (digits) => (value) => {
      if (value === null) return "";
      if (value === 0) return "0";
      if (!plain) return value.toExponential(digits).replace(/(\.\d*?)0+e/, "$1e").replace(/\.?e\+?/, "e");
      return value.toLocaleString("en", { maximumFractionDigits: digits });
    };
    const steps = values.slice(1).map((value, i) => Math.abs(value - values[i])).filter((step) => step > 0);
    const nothing = 1e-3 * Math.min(largest, ...steps);
    for (let digits = 0; ; digits++) {
      const read = (value) => Number(write(digits)(value).replaceAll(",", ""));
      if (digits === 15 || values.every((value) => Math.abs(read(value) - value) <= nothing)) return splits.map(write(digits));
    }
  }

  // As much room as the widest label of an axis takes.
  function axisSize(u, texts, place) {
    const axis = u.axes[place];
    u.ctx.font = axis.font[0];
    const widest = Math.max(0, ...(texts ?? []).map((text) => u.ctx.measureText(text).width));
    return Math.max(62, Math.ceil(widest / devicePixelRatio) + axis.gap + 12);
  }

  // On a logarithmic axis of many powers of ten, as many of them as there is room for.
  function powersOfTen(u, place, min, max) {
    const [from, to] = [Math.ceil(Math.log10(min) - 1e-9), Math.floor(Math.log10(max) + 1e-9)];
    const stride = Math.ceil(((to - from) * 24 * devicePixelRatio) / u.bbox.height);
    const powers = [];
    for (let power = Math.ceil(from / stride) * stride; power <= to; power += stride) powers.push(Number(`1e${power}`));
    return powers;
  }

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  const POWERS = 5; // of ten: an axis that spans more has no labels and lines between them

  const STYLES = {
    faint: { width: 1, points: { show: false } },
    line: { width: 2, points: { show: false } },
    marked: { width: 1.5, points: { show: true, size: 4 } },
    steps: { width: 2, dash: [5, 3], points: { show: false } },
    flat: { width: 2, points: { show: false } },
    points: { width: 1.25, points: { show: true, size: 7 } },
  };

  function seriesOptions(series) {
    const style = STYLES[series.style];
    const stroke = () => colour(series.colour);
    const flat = series.style === "steps" || series.style === "flat";
    const alone = series.y.length < 3 && !flat;
    return {
      ...style,
      dash: series.dashed ? [8, 4] : style.dash,
      stroke,
      spanGaps: false,
      paths: flat ? flatPaths : undefined,
      points: { ...style.points, show: style.points.show || alone, stroke, fill: stroke },
    };
  }

  // A flat line from each point's predecessor to the point, not joined to the next one.
  function flatPaths(u, place, first, last) {
    const x = u.data[0];
    const y = u.data[place];
    const stroke = new Path2D();
    let before = null;
    for (let i = first; i <= last; i++) {
      if (y[i] === undefined) continue;
      if (before !== null && y[i] !== null) {
        const at = u.valToPos(y[i], "y", true);
        stroke.moveTo(u.valToPos(x[before], "x", true), at);
        stroke.lineTo(u.valToPos(x[i], "x", true), at);
      }
      before = i;
    }
    return { stroke, fill: null, clip: null, band: null, gaps: null, flags: 1 };
  }

  // Epochs above, iterations below

  function epochStride(u, perEpoch, pixels) {
    const width = u.bbox.width / devicePixelRatio;
    const shown = Math.max((u.scales.x.max - u.scales.x.min) / perEpoch, 1e-9);
    const least = (shown * pixels) / width;
    for (let power = 1; ; power *= 10) {
      for (const step of [1, 2, 5]) if (step * power >= least) return step * power;
    }
  }

  function epochBorders(u, perEpoch, pixels) {
    const stride = epochStride(u, perEpoch, pixels) * perEpoch;
    const borders = [];
    for (let x = Math.ceil(u.scales.x.min / stride) * stride; x <= u.scales.x.max; x += stride) {
      borders.push(x);
    }
    return borders;
  }

  function drawBorders(u, perEpoch) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.strokeStyle = colour("border");
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    for (const border of epochBorders(u, perEpoch, 8)) {
      const x = Math.round(u.valToPos(border, "x", true)) + 0.5;
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
    }
    ctx.stroke();
    ctx.restore();
  }

  function drawErrors(u, series, place) {
    if (!series.error || !u.series[place].show) return;
    const { ctx } = u;
    ctx.save();
    ctx.beginPath();
    ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
    ctx.clip();
    ctx.strokeStyle = colour(series.colour);
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.beginPath();
    const cap = 3 * devicePixelRatio;
    series.x.forEach((x, i) => {
      if (series.error[i] === null || series.y[i] === null) return;
      const at = u.valToPos(x, "x", true);
      for (const sign of [-1, 1]) {
        const end = u.valToPos(series.y[i] + sign * series.error[i], "y", true);
        ctx.moveTo(at, u.valToPos(series.y[i], "y", true));
        ctx.lineTo(at, end);
        ctx.moveTo(at - cap, end);
        ctx.lineTo(at + cap, end);
      }
    });
    ctx.stroke();
    ctx.restore();
  }

  function inView(u, mark) {
    const x = u.valToPos(mark.x, "x", true);
    return x >= u.bbox.left - 1 && x <= u.bbox.left + u.bbox.width + 1;
  }

  function drawMarks(u, marks) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
    for (const mark of marks.filter((one) => inView(u, one))) {
      const x = u.valToPos(mark.x, "x", true);
      ctx.strokeStyle = colour(mark.colour);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  function drawMarkNames(u, marks) {
    const { ctx, bbox } = u;
    const gap = 5 * devicePixelRatio;
    const line = 16 * devicePixelRatio;
    ctx.save();
    ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textBaseline = "top";
    ctx.textAlign = "left";
    marks.forEach((mark, i) => {
      if (!inView(u, mark)) return;
      const x = u.valToPos(mark.x, "x", true);
      const width = ctx.measureText(named(mark)).width;
      const from = x > bbox.left + bbox.width / 2 ? x - gap - width : x + gap;
      const top = bbox.top + gap + i * line;
      ctx.globalAlpha = 0.75;
      ctx.fillStyle = colour("paper");
      ctx.fillRect(from - gap / 2, top - gap / 2, width + gap, line);
      ctx.globalAlpha = 1;
      ctx.fillStyle = colour(mark.colour);
      ctx.fillText(named(mark), from, top);
    });
    ctx.restore();
  }

  // What the two axes count, in the corners beside them.
  function drawAxisNames(u, perEpoch, axis) {
    const { ctx, bbox } = u;
    const gap = 6 * devicePixelRatio;
    ctx.save();
    ctx.fillStyle = colour("soft");
    ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.textAlign = "right";
    ctx.textBaseline = "top";
    const width = ctx.measureText(word(axis)).width;
    ctx.fillText(word(axis), Math.max(bbox.left - gap, width), bbox.top + bbox.height + gap);
    ctx.textBaseline = "bottom";
    if (perEpoch) ctx.fillText(word("epoch"), bbox.left - gap, bbox.top - gap);
    ctx.restore();
  }

  // A chart

  class Chart {
    constructor(figure, spec) {
      this.figure = figure;
      this.spec = spec;
      this.plot = figure.querySelector(".plot");
      this.hidden = new Set();
      this.log = spec.scale === "log";
      this.axis = spec.axis ?? "iteration";
      this.legend = element("ul", { class: "legend" });
      this.readout = element("p", { class: "readout", "aria-live": "off" });
      this.plot.before(this.legend);
      this.plot.after(this.readout);
      this.build();
      new ResizeObserver(() => this.resize()).observe(this.plot);
    }

    size() {
      const width = Math.max(this.plot.clientWidth, 240);
      return { width, height: Math.round(Math.min(Math.max(width * 0.42, 220), 360)) };
    }

    resize() {
      const { width, height } = this.size();
      if (width !== this.u.width) this.u.setSize({ width, height });
    }

    build() {
      this.u?.destroy();
      const { series, per_epoch: perEpoch } = this.spec;
      const log = this.log;
      const axis = { stroke: () => colour("soft"), grid: { stroke: () => colour("line"), width: 1 }, ticks: { show: false } };
      const axes = [
        { ...axis, grid: { show: false }, values: (u, splits) => axisTexts(splits), space: 80, size: 30, ...this.ticks() },
        { ...axis, values: (u, splits) => axisTexts(splits), size: axisSize, ...this.powers() },
      ];
      if (perEpoch) {
        axes.push({
          ...axis, side: 0, scale: "x", grid: { show: false }, size: 26,
          splits: (u) => epochBorders(u, perEpoch, 44),
          values: (u, splits) => splits.map((x) => numberText(Math.round(x / perEpoch))),
        });
      }
      this.u = new uPlot(
        {
          ...this.size(),
          padding: [perEpoch ? 0 : 8, 30, 0, 0],
          legend: { show: false },
          cursor: { y: false, points: { size: 8 }, dataIdx: nearest, drag: { x: true, y: false } },
          scales: {
            x: { time: false, ...(this.axis === "batch_size" ? { distr: 3, log: 2 } : {}), range: (u, min, max) => this.span(min, max) },
            y: { distr: log ? 3 : 1, range: log ? undefined : (u, min, max) => this.range(min, max) },
          },
          axes,
          series: [{}, ...series.map((one) => ({ ...seriesOptions(one), show: !this.hidden.has(one) }))],
          hooks: {
            drawAxes: [
              (u) => { if (perEpoch) drawBorders(u, perEpoch); },
              (u) => drawMarks(u, this.spec.marks),
            ],
            draw: [
              (u) => series.forEach((one, i) => drawErrors(u, one, i + 1)),
              (u) => drawMarkNames(u, this.spec.marks),
              (u) => drawAxisNames(u, perEpoch, this.axis),
            ],
            setCursor: [(u) => this.read(u)],
          },
        },
        this.table(),
        this.plot,
      );
      this.writeLegend();
      this.read(this.u);
    }

    // The places of a series on the axis that was chosen; most charts have one only.
    places(series) { return Array.isArray(series.x) ? series.x : series.x[this.axis]; }

    // All series side by side, as uPlot takes them.
    table() {
      const shown = (y) => (this.log ? y.map((value) => (value > 0 ? value : null)) : y);
      const tables = this.spec.series.map((one) => [this.places(one), shown(one.y)]);
      return tables.length ? uPlot.join(tables) : [[]];
    }

    // Show what has become known since; a chart that the reader has zoomed stays zoomed.
    update(spec) {
      const same = spec.series.length === this.spec.series.length;
      const hidden = this.spec.series.map((one) => this.hidden.has(one));
      const { min, max } = this.u.scales.x;
      const [from, to] = this.whole();
      this.spec = spec;
      this.hidden = new Set(same ? spec.series.filter((_, i) => hidden[i]) : []);
      if (!same) { this.build(); return; }
      const zoomed = min > from || max < to;
      this.u.setData(this.table(), !zoomed);
      if (zoomed) this.u.setScale("x", { min, max });
      this.writeLegend();
    }

    against(axis) { this.axis = axis; this.build(); }

    // Batch sizes are their own ticks; all other axes have round numbers.
    ticks() {
      if (this.axis !== "batch_size") return {};
      const sizes = new Set(this.spec.series.flatMap((one) => this.places(one)));
      return { splits: () => [...sizes].sort((a, b) => a - b), filter: (u, splits) => splits };
    }

    powers() {
      if (!this.log) return {};
      const seen = this.spec.series.flatMap((one) => one.y.filter((value) => value > 0));
      if (!seen.length || Math.log10(seen.reduce((a, b) => Math.max(a, b)) / seen.reduce((a, b) => Math.min(a, b))) < POWERS) return {};
      return { splits: powersOfTen, filter: (u, splits) => splits };
    }

    // All charts of a run cover the same iterations, unless one is zoomed.
    span(min, max) {
      const ends = this.spec.series.flatMap((one) => {
        const x = this.places(one);
        return x.length ? [x[0], x.at(-1)] : [];
      });
      if (this.axis === "batch_size") return ends.length ? [Math.min(...ends) / 1.5, Math.max(...ends) * 1.5] : [1, 2];
      const whole = min === null || (min <= Math.min(...ends) && max >= Math.max(...ends));
      return whole ? this.whole(Math.max(0, ...ends)) : [min, max];
    }

    whole(last = 1) {
      const { from = 0, to = last } = this.spec;
      return [from, Math.max(to, from + (to ? 0 : 1), from + 1e-9)];
    }

    range(min, max) {
      if (min === null) return [0, 1];
      if (this.spec.zero && min > 0) return [0, max * 1.1];
      for (const { error, y } of this.spec.series) {
        error?.forEach((e, i) => {
          if (e === null || y[i] === null) return;
          min = Math.min(min, y[i] - e);
          max = Math.max(max, y[i] + e);
        });
      }
      if (min === max) return min === 0 ? [0, 1] : [min - Math.abs(min) / 2, max + Math.abs(max) / 2];
      const gap = (max - min) * 0.06;
      return [min >= 0 && min < (max - min) / 2 ? 0 : min - gap, max + gap];
    }

    writeLegend() {
      const together = new Map(); // all lines of a run come and go together
      this.spec.series.forEach((series, i) => {
        const key = series.run ?? `only ${i}`;
        together.set(key, [...(together.get(key) ?? []), series]);
      });
      const items = [...together.values()].map((lines) => {
        const swatch = element("canvas", { width: 48, height: 24 });
        for (const series of lines) drawSwatch(swatch, series);
        const shown = !this.hidden.has(lines[0]);
        const button = element("button", { type: "button", "aria-pressed": String(shown) }, swatch, named(lines[0]));
        button.addEventListener("click", () => {
          for (const series of lines) {
            if (shown) this.hidden.add(series);
            else this.hidden.delete(series);
            this.u.setSeries(this.spec.series.indexOf(series) + 1, { show: !shown });
          }
          this.writeLegend();
        });
        return element("li", {}, button);
      });
      if (this.spec.scale !== "linear") {
        const button = element("button", { type: "button", "aria-pressed": String(this.log) }, word("log"));
        button.addEventListener("click", () => { this.log = !this.log; this.build(); });
        items.push(element("li", { class: "log" }, button));
      }
      this.legend.replaceChildren(...items);
    }

    read(u) {
      const { idxs, left } = u.cursor;
      const parts = [];
      if (left >= 0 && idxs) {
        const x = u.posToVal(left, "x");
        const perEpoch = this.spec.per_epoch;
        const whole = this.axis === "seconds" ? x : Math.round(x);
        parts.push(`${word(this.axis)} ${numberText(whole)}`);
        if (perEpoch) parts.push(`${word("epoch")} ${numberText(Math.max(1, Math.ceil(whole / perEpoch)))}`);
        this.spec.series.forEach((series, i) => {
          const place = idxs[i + 1];
          if (place !== null && place !== undefined && !this.hidden.has(series)) {
            parts.push(`${named(series)} ${numberText(u.data[i + 1][place])}`);
          }
        });
      }
      this.readout.textContent = parts.join("  ·  ");
    }

    speak() {
      this.writeLegend();
      this.u.redraw(false);
      this.read(this.u);
    }

    look() {
      this.writeLegend();
      this.u.redraw(true, true);
    }
  }

  function nearest(u, series, index) {
    const values = u.data[series];
    for (let off = 0; off < values.length; off++) {
      for (const place of [index - off, index + off]) {
        if (values[place] !== null && values[place] !== undefined) return place;
      }
      if (off > 2000) return null;
    }
    return null;
  }

  function drawSwatch(canvas, series) {
    const ctx = canvas.getContext("2d");
    const style = STYLES[series.style];
    ctx.strokeStyle = ctx.fillStyle = colour(series.colour);
    ctx.lineWidth = 2 * style.width;
    ctx.setLineDash((series.dashed ? [8, 4] : style.dash ?? []).map((one) => 2 * one));
    ctx.beginPath();
    ctx.moveTo(0, 12);
    ctx.lineTo(48, 12);
    ctx.stroke();
    if (style.points.show) {
      ctx.beginPath();
      ctx.arc(24, 12, 7, 0, 7);
      ctx.fill();
    }
  }

  return { Chart, colour, element, numberText, word };
})();
