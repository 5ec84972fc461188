"use strict";

const LANE = 40; // pixels of a class: the reference above, what was found below, probabilities between
let explorer = null;

function listenTo(label) {
  if (!explorer) return;
  explorer.chooseClass(label, true);
  document.getElementById("explorer").scrollIntoView();
  document.getElementById("play-error").focus({ preventScroll: true });
}

function showExplorer(content) {
  if (content.files.length) explorer = new Explorer(content);
}

class Explorer {
  constructor(content) {
    this.content = content;
    this.classes = content.classes;
    this.label = null; // index of the class whose errors are stepped through; null: all
    this.index = 0;
    this.error = -1;
    this.audio = make("audio", { preload: "auto" });
    this.build();
    this.load(0);
  }

  build() {
    const button = (text, key, action, more) => make("button", { type: "button", onclick: action, "aria-keyshortcuts": key, ...more }, text, make("kbd", { "aria-hidden": "true" }, key));
    this.fileSelect = make("select", { id: "file", onchange: () => this.load(Number(this.fileSelect.value)) });
    this.classSelect = make("select", { id: "class", onchange: () => this.chooseClass(this.classSelect.value === "" ? null : this.classes[Number(this.classSelect.value)]) },
      make("option", { value: "" }, "all classes"), this.classes.map((label, i) => make("option", { value: i }, shortened(label, 60))));
    this.playButton = button("Play", "Space", () => this.toggle(), { id: "play" });
    this.all = make("input", { type: "checkbox", id: "all-lanes", onchange: () => this.draw() });
    this.heading = make("h3", { id: "file-name" });
    this.current = make("p", { id: "current-error", "aria-live": "polite" });
    this.stage = make("div", { id: "stage", tabindex: 0, role: "application", "aria-label": "Spectrogram, events and probabilities; arrow keys move, plus and minus zoom, space plays" });
    this.reading = make("p", { id: "reading", class: "soft" });
    this.scrollbar = make("input", { type: "range", id: "scrollbar", min: 0, max: 1000, value: 0, "aria-label": "Scroll in time", oninput: () => this.scrollTo() });
    const legend = make("div", { class: "key" }, [["#56b4e9", "none", "annotated (upper bar)"], ["#e69f00", "none", "detected (lower bar)"], ["transparent", "#d55e00", "framed: an error"], ["#8886", "none", "probability"]].map(([fill, edge, text]) => make("span", {}, make("i", { style: { background: fill, borderColor: edge === "none" ? "transparent" : edge, borderWidth: "2px" } }), text)), content.metrics?.thresholds ? make("span", {}, "dashed: threshold") : "");
    const n = this.content.files.length;
    const part = addPart("explorer", "Listen and look", `${n} of ${this.content.n_files} recordings, the worst first. Press “Next error”, then “Hear it”. Click to place the cursor, drag to zoom, wheel to zoom or scroll.`,
      make("div", { class: "row" }, make("label", {}, "Recording", this.fileSelect), button("◀ file", "[", () => this.stepFile(-1)), button("file ▶", "]", () => this.stepFile(1))),
      make("div", { class: "row" }, make("label", {}, "Errors of", this.classSelect), button("◀ Previous error", "p", () => this.step(-1), { id: "previous-error" }), button("Next error ▶", "n", () => this.step(1), { id: "next-error", class: "strong" }), button("Hear it", "h", () => this.hear(), { id: "play-error", class: "strong" })),
      this.heading, this.current, this.stage, this.scrollbar,
      make("div", { class: "row" }, this.playButton, button("−", "-", () => this.zoom(2), { "aria-label": "Zoom out" }), button("+", "+", () => this.zoom(0.5), { "aria-label": "Zoom in" }), button("whole", "0", () => this.fit(), { id: "fit" }), make("label", { style: { width: "auto" } }, this.all, "all classes in lanes")),
      legend, this.reading, this.audio);
    part.addEventListener("keydown", (event) => this.key(event));
    document.addEventListener("keydown", (event) => { if (event.target === document.body) this.key(event); });
    for (const name of ["play", "pause", "ended"]) this.audio.addEventListener(name, () => this.playing());
    charts.push(() => this.draw());
    this.touch();
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.listFiles();
  }

  listFiles() {
    const files = this.content.files.map((file, i) => ({ ...file, i }));
    const wanted = this.label === null ? files : files.filter((file) => file.labels.includes(this.label));
    this.listed = (wanted.length ? wanted : files).map((file) => file.i);
    this.fileSelect.replaceChildren(...this.listed.map((i) => {
      const file = this.content.files[i];
      return make("option", { value: i, title: file.name }, `${i + 1}. ${shortened(file.name, 48)} – F1 ${fraction(file.f1, 2)}, ${file.n_errors} error${file.n_errors === 1 ? "" : "s"}`);
    }));
    if (!wanted.length) this.say(`None of these recordings holds an error of ${this.classes[this.label]}.`);
  }

  chooseClass(label, fromTheWorst = false) {
    this.label = label === null ? null : this.classes.indexOf(label);
    this.classSelect.value = this.label === null ? "" : this.label;
    this.listFiles();
    if (fromTheWorst || !this.listed.includes(this.index)) this.load(this.listed[0]);
    else { this.fileSelect.value = this.index; this.findErrors(); }
    this.error = -1;
    if (this.errors.length) this.step(1);
  }

  load(index) {
    this.index = index;
    this.fileSelect.value = index;
    this.file = readJson(`recording-${index}`);
    this.probabilities = bytesOf(this.file.probabilities);
    this.audio.pause();
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = URL.createObjectURL(new Blob([bytesOf(this.file.audio.data)], { type: this.file.audio.type }));
    this.audio.src = this.url;
    this.stopAt = null;
    this.images = this.file.tiles.map((data) => {
      const image = new Image();
      image.onload = () => this.spectrogram?.redraw(false);
      image.src = `data:image/png;base64,${data}`;
      return image;
    });
    const { name, duration, window: [from, to] } = this.file;
    const part = to - from < duration - 0.1 ? ` – ${from.toFixed(1)} to ${to.toFixed(1)} s of ${duration.toFixed(1)} s, the stretch with most errors` : ` – ${duration.toFixed(1)} s`;
    this.heading.textContent = name + part;
    this.range = [from, to];
    this.time = from;
    this.findErrors();
    this.draw();
    this.read(null);
  }

  // Events as arrays [onset, offset, class, outcome, class of the partner]; errors in order of time.
  findErrors() {
    const outcome = (event) => this.content.outcomes[event[3]];
    const wrong = this.file.reference.filter((event) => outcome(event) !== "hit").map((event) => ({ event, detected: false }));
    const more = this.file.predicted.filter((event) => outcome(event) === "inserted").map((event) => ({ event, detected: true }));
    const wanted = ({ event, detected }) => this.label === null || event[2] === this.label || (!detected && event[4] === this.label);
    this.errors = [...wrong, ...more].filter(wanted).sort((a, b) => a.event[0] - b.event[0]);
    this.error = -1;
    const n = this.errors.length;
    const events = this.file.reference.length;
    this.say(n ? `${n} error${n === 1 ? "" : "s"} here${this.label === null ? "" : ` of ${this.classes[this.label]}`}.` : events ? "No error here." : "Nothing is annotated and nothing was found here.");
  }

  say(text) { this.current.textContent = text; }

  describe({ event, detected }) {
    const [onset, offset, label, outcome, partner] = event;
    const name = this.classes[label];
    const texts = {
      onset: `${name}: found, but the onset is off`, offset: `${name}: found, but the offset is off`, both: `${name}: found, but onset and offset are off`,
      confused: `${name} taken for ${this.classes[partner]}`, missed: `${name}: missed`, inserted: `${name}: false alarm, nothing is annotated`,
    };
    return `${texts[this.content.outcomes[outcome]]} (${onset.toFixed(2)} to ${offset.toFixed(2)} s)`;
  }

  step(direction) {
    const next = this.error + direction;
    if (next < 0 || next >= this.errors.length) return this.stepFile(direction, true);
    this.error = next;
    const { event } = this.errors[next];
    this.say(`Error ${next + 1} of ${this.errors.length}: ${this.describe(this.errors[next])}`);
    const room = Math.max(1.5, event[1] - event[0]);
    const span = Math.min(this.file.window[1] - this.file.window[0], Math.max(this.range[1] - this.range[0], event[1] - event[0] + 2));
    if (event[0] < this.range[0] || event[1] > this.range[1]) this.show((event[0] + event[1] - span) / 2, (event[0] + event[1] + span) / 2);
    this.seek(Math.max(this.file.window[0], event[0] - Math.min(0.5, room / 3)));
    this.overlay();
  }

  stepFile(direction, toError = false) {
    let place = this.listed.indexOf(this.index);
    do {
      place += direction;
      if (place < 0 || place >= this.listed.length) {
        if (toError) this.say(direction > 0 ? "That was the last error." : "That was the first error.");
        return;
      }
      this.load(this.listed[place]);
    } while (toError && !this.errors.length);
    if (toError) { this.error = direction > 0 ? -1 : this.errors.length; this.step(direction); }
  }

  // ------------------------------------------------------------------------------- sound

  hear() {
    if (this.error < 0) this.step(1);
    if (this.error < 0) return;
    const { event } = this.errors[this.error];
    this.seek(Math.max(this.file.window[0], event[0] - 0.5));
    this.stopAt = Math.min(this.file.window[1], event[1] + 0.5);
    this.audio.play();
  }

  toggle() {
    this.stopAt = null;
    if (this.audio.paused) this.audio.play(); else this.audio.pause();
  }

  seek(time) {
    this.time = Math.min(Math.max(time, this.file.window[0]), this.file.window[1]);
    this.audio.currentTime = this.time - this.file.window[0];
    this.overlay();
    this.read(this.time);
  }

  playing() {
    this.playButton.firstChild.textContent = this.audio.paused ? "Play" : "Pause";
    const tick = () => {
      if (this.audio.paused) return;
      this.time = this.audio.currentTime + this.file.window[0];
      if (this.stopAt !== null && this.time >= this.stopAt) { this.audio.pause(); this.stopAt = null; }
      if (this.time > this.range[1] || this.time < this.range[0]) this.show(this.time, this.time + this.range[1] - this.range[0]);
      this.overlay();
      this.read(this.time);
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  // ----------------------------------------------------------------------------- drawing

  lanes() {
    if (this.all.checked) return this.classes.map((_, i) => i);
    const sounding = new Set([...this.file.reference, ...this.file.predicted].map((event) => event[2]));
    if (this.label !== null) sounding.add(this.label);
    const lanes = [...sounding].sort((a, b) => a - b);
    return lanes.length ? lanes : this.classes.map((_, i) => i).slice(0, 10);
  }

  draw() {
    for (const chart of [this.spectrogram, this.roll]) chart?.destroy();
    this.stage.replaceChildren();
    const width = Math.floor(this.stage.clientWidth);
    if (!width) return;
    const labelRoom = width < 600 ? 92 : 150;
    const shown = this.lanes();
    this.shown = shown;
    const [from, to] = this.range;
    const cursor = { drag: { x: true, y: false, setScale: false }, sync: { key: "explorer", setSeries: false }, points: { show: false } };
    const hooks = (draw) => ({ draw: [draw, () => this.overlay()], setSelect: [(u) => this.selected(u)], setCursor: [(u) => this.pointed(u)], ready: [(u) => this.prepare(u)] });
    const common = (height) => ({ width, height, padding: [8, 14, 0, 0], legend: { show: false }, cursor, scales: { x: { time: false, auto: false, range: () => this.range } } });
    const ends = [[from, to], [null, null]];
    const series = [{}, { points: { show: false }, paths: () => null }];
    const [ticks, names] = this.file.ticks;
    this.spectrogram = new uPlot({ ...common(width < 600 ? 150 : 190),
      scales: { ...common(0).scales, y: { auto: false, range: [-0.5, this.file.n_mels - 0.5] } }, series,
      axes: [axis(null, { show: false }), axis("frequency (kHz)", { size: labelRoom - 18, splits: () => ticks, values: () => names, grid: { show: false } })],
      hooks: { ...hooks(() => {}), draw: [(u) => this.drawImage(u), () => this.overlay()] } }, ends, this.stage);
    this.roll = new uPlot({ ...common(shown.length * LANE + 60),
      scales: { ...common(0).scales, y: { auto: false, range: [-0.5, shown.length - 0.5], dir: -1 } }, series,
      axes: [axis("time (s)", { size: 30 }), axis(null, { label: undefined, labelSize: 0, size: labelRoom, splits: () => shown.map((_, i) => i), values: () => shown.map((i) => shortened(this.classes[i], width < 600 ? 12 : 19)), grid: { show: false }, ticks: { show: false }, space: 1, incrs: [1] })],
      hooks: hooks((u) => this.drawLanes(u)) }, ends, this.stage);
    this.overlay();
    this.place();
  }

  drawImage(u) {
    const { ctx, bbox } = u;
    const { start, hop, n_frames, tile } = this.file;
    ctx.save();
    ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
    ctx.fillStyle = "#000004"; ctx.fillRect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.imageSmoothingEnabled = true;
    this.images.forEach((image, i) => {
      if (!image.complete || !image.naturalWidth) return;
      // Frames are centred: the first reaches from half a hop before its time to half a hop after.
      const x0 = u.valToPos(start + (i * tile - 0.5) * hop, "x", true);
      const x1 = u.valToPos(start + (Math.min(n_frames, (i + 1) * tile) - 0.5) * hop, "x", true);
      ctx.drawImage(image, x0, bbox.top, x1 - x0, bbox.height);
    });
    ctx.restore();
  }

  drawLanes(u) {
    const { ctx, bbox } = u;
    const lane = bbox.height / this.shown.length;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.beginPath(); ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height); ctx.clip();
    this.shown.forEach((label, row) => {
      const top = bbox.top + row * lane;
      if (row % 2) { ctx.fillStyle = colour("card"); ctx.fillRect(bbox.left, top, bbox.width, lane); }
      this.drawCurve(u, label, top, lane);
      for (const [events, fill, at] of [[this.file.reference, "#56b4e9", 0.08], [this.file.predicted, "#e69f00", 0.64]]) {
        for (const event of events) {
          if (event[2] !== label) continue;
          const [x0, x1] = [u.valToPos(event[0], "x", true), u.valToPos(event[1], "x", true)];
          const box = [x0, top + at * lane, Math.max(2 * ratio, x1 - x0), 0.28 * lane];
          ctx.fillStyle = fill; ctx.fillRect(...box);
          if (this.content.outcomes[event[3]] === "hit") continue;
          ctx.strokeStyle = "#d5352a"; ctx.lineWidth = 2.5 * ratio; ctx.strokeRect(...box);
        }
      }
    });
    ctx.restore();
  }

  drawCurve(u, label, top, lane) {
    const { ctx, bbox } = u;
    const { start, hop, n_frames } = this.file;
    const [low, high] = [top + 0.94 * lane, top + 0.06 * lane];
    const y = (p) => low + (high - low) * p;
    const first = Math.max(0, Math.floor((this.range[0] - start) / hop) - 1);
    const last = Math.min(n_frames - 1, Math.ceil((this.range[1] - start) / hop) + 1);
    ctx.beginPath();
    ctx.moveTo(u.valToPos(start + first * hop, "x", true), low);
    for (let t = first; t <= last; t++) ctx.lineTo(u.valToPos(start + t * hop, "x", true), y(this.probability(t, label)));
    ctx.lineTo(u.valToPos(start + last * hop, "x", true), low);
    ctx.fillStyle = "rgba(128,134,142,.38)"; ctx.fill();
    const threshold = this.content.metrics?.thresholds?.[this.classes[label]];
    if (threshold === undefined) return;
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]); ctx.lineWidth = devicePixelRatio; ctx.strokeStyle = colour("soft");
    ctx.beginPath(); ctx.moveTo(bbox.left, y(threshold)); ctx.lineTo(bbox.left + bbox.width, y(threshold)); ctx.stroke();
    ctx.setLineDash([]);
  }

  probability(frame, label) { return this.probabilities[frame * this.classes.length + label] / 255; }

  prepare(u) {
    u.over.append(make("div", { class: "focus" }), make("div", { class: "playhead" }));
    let down = null;
    u.over.addEventListener("mousedown", (event) => { down = event.clientX; });
    u.over.addEventListener("click", (event) => {
      if (down !== null && Math.abs(event.clientX - down) > 4) return;
      this.seek(u.posToVal(event.clientX - u.over.getBoundingClientRect().left, "x"));
    });
  }

  overlay() {
    for (const u of [this.spectrogram, this.roll]) {
      if (!u?.over) continue;
      const playhead = u.over.querySelector(".playhead");
      const focus = u.over.querySelector(".focus");
      if (!playhead) continue;
      playhead.style.left = `${u.valToPos(this.time, "x")}px`;
      const error = this.errors[this.error]?.event;
      focus.hidden = !error;
      if (!error) continue;
      const left = u.valToPos(error[0], "x");
      focus.style.left = `${left}px`;
      focus.style.width = `${Math.max(2, u.valToPos(error[1], "x") - left)}px`;
    }
  }

  // ------------------------------------------------------------------------------ moving

  show(from, to) {
    const [start, end] = this.file.window;
    const span = Math.min(Math.max(to - from, 0.2), end - start);
    const first = Math.min(Math.max((from + to - span) / 2, start), end - span);
    this.range = [first, first + span];
    for (const u of [this.spectrogram, this.roll]) u?.setScale("x", { min: this.range[0], max: this.range[1] });
    this.overlay();
    this.place();
  }

  place() {
    const [start, end] = this.file.window;
    const free = end - start - (this.range[1] - this.range[0]);
    this.scrollbar.disabled = free < 1e-6;
    this.scrollbar.value = free < 1e-6 ? 0 : (1000 * (this.range[0] - start)) / free;
  }

  scrollTo() {
    const [start, end] = this.file.window;
    const span = this.range[1] - this.range[0];
    const first = start + (this.scrollbar.value / 1000) * (end - start - span);
    this.show(first, first + span);
  }

  zoom(factor, around = null) {
    const [from, to] = this.range;
    const centre = around ?? (this.time >= from && this.time <= to ? this.time : (from + to) / 2);
    this.show(centre - (centre - from) * factor, centre + (to - centre) * factor);
  }

  pan(share) {
    const by = share * (this.range[1] - this.range[0]);
    this.show(this.range[0] + by, this.range[1] + by);
  }

  fit() { this.show(...this.file.window); }

  selected(u) {
    if (u.select.width < 5) return;
    const [from, to] = [u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x")];
    u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    this.show(from, to);
  }

  pointed(u) {
    if (u.cursor.left >= 0) this.read(u.posToVal(u.cursor.left, "x"));
  }

  // The probabilities at a time, highest first, and what is annotated and found there.
  read(time) {
    if (time === null) { this.reading.textContent = "Point at a time to read the probabilities there."; return; }
    const frame = Math.min(this.file.n_frames - 1, Math.max(0, Math.round((time - this.file.start) / this.file.hop)));
    const order = this.classes.map((label, i) => [this.probability(frame, i), label, i]).sort((a, b) => b[0] - a[0]).slice(0, 5);
    const at = (events) => events.filter((event) => event[0] <= time && time < event[1]).map((event) => this.classes[event[2]]).join(", ") || "nothing";
    this.reading.textContent = `${seconds(time)} – annotated: ${at(this.file.reference)}; detected: ${at(this.file.predicted)}. Probabilities: ${order.map(([p, label]) => `${label} ${p.toFixed(2)}`).join(", ")}`;
  }

  wheel(event) {
    const horizontal = Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey;
    const zoomed = this.range[1] - this.range[0] < this.file.window[1] - this.file.window[0] - 1e-6;
    if (!horizontal && !event.ctrlKey && !zoomed && event.deltaY > 0) return; // nothing to zoom out of: the page scrolls on
    event.preventDefault();
    if (horizontal) return this.pan((event.deltaX || event.deltaY) / 800);
    const over = this.roll.over.getBoundingClientRect();
    this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.roll.posToVal(event.clientX - over.left, "x"));
  }

  // One finger along the time scrolls, two zoom; up and down moves the page.
  touch() {
    let before = null;
    const spots = (event) => [...event.touches].map((touch) => touch.clientX).sort((a, b) => a - b);
    this.stage.addEventListener("touchstart", (event) => { before = spots(event); }, { passive: true });
    this.stage.addEventListener("touchmove", (event) => {
      const now = spots(event);
      if (!before || now.length !== before.length) { before = now; return; }
      const width = this.roll.over.clientWidth;
      if (now.length === 1) this.pan((before[0] - now[0]) / width);
      else {
        const over = this.roll.over.getBoundingClientRect();
        const factor = Math.max(10, before[1] - before[0]) / Math.max(10, now[1] - now[0]);
        this.zoom(factor, this.roll.posToVal((now[0] + now[1]) / 2 - over.left, "x"));
      }
      before = now;
    }, { passive: true });
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || ["SELECT", "INPUT"].includes(event.target.tagName)) return;
    const isButton = event.target.tagName === "BUTTON" || event.target.tagName === "SUMMARY";
    const actions = {
      n: () => this.step(1), p: () => this.step(-1), h: () => this.hear(), "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), 0: () => this.fit(),
      "[": () => this.stepFile(-1), "]": () => this.stepFile(1), ArrowLeft: () => this.pan(-0.2), ArrowRight: () => this.pan(0.2), ...(isButton ? {} : { " ": () => this.toggle() }),
    };
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }
}
