"use strict";

const charts = []; // functions that draw a chart anew: on another width, or in other colours

function axis(label, more) {
  return { label, labelSize: 18, size: 48, labelFont: "13px system-ui, sans-serif", font: "12px system-ui, sans-serif", stroke: () => colour("soft"), grid: { stroke: () => colour("line"), width: 1 }, ticks: { stroke: () => colour("line"), width: 1 }, ...more };
}

// Keep a chart as wide as its place. `options` is asked anew on each drawing.
function addChart(place, options, data) {
  let chart = null;
  function draw() {
    const width = Math.floor(place.clientWidth);
    if (!width) return;
    if (chart) chart.destroy();
    chart = new uPlot({ ...options(), width }, data, place);
  }
  charts.push(draw);
  draw();
  return { get chart() { return chart; } };
}

function redrawAll() {
  for (const draw of charts) draw();
}

function line(label, stroke, more) {
  return { label, stroke: () => colour(stroke), width: 2, spanGaps: true, value: (u, v) => (v === null || v === undefined ? "–" : v.toFixed(3)), ...more };
}

// Vertical lines at epochs that matter.
function marks(lines) {
  return (u) => {
    const { ctx, bbox } = u;
    ctx.save();
    for (const { at, stroke, text } of lines) {
      if (at === null || at === undefined) continue;
      const x = Math.round(u.valToPos(at, "x", true));
      ctx.strokeStyle = ctx.fillStyle = colour(stroke);
      ctx.lineWidth = 1.5 * devicePixelRatio;
      ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
      if (!text) continue;
      ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
      const right = x + ctx.measureText(text).width + 8 * devicePixelRatio < bbox.left + bbox.width;
      ctx.textAlign = right ? "left" : "right";
      ctx.textBaseline = "top";
      ctx.fillText(text, x + (right ? 5 : -5) * devicePixelRatio, bbox.top + 3 * devicePixelRatio);
    }
    ctx.restore();
  };
}

function showLearning(content) {
  const history = content.history;
  if (!history) return;
  const epochs = history.epoch;
  const best = content.best_epoch;
  const teacher = teacherStory(content);
  const places = { loss: make("div", { class: "chart" }), score: make("div", { class: "chart" }), teacher: make("div", { class: "chart", id: "teacher-chart" }) };
  addPart("learning", "Learning", `All over the epochs; point at one to read it in all curves. ${best === null ? "" : `Best epoch: ${best}. `}${teacher ? teacher.long : ""}`,
    make("div", { class: "charts" }, make("div", {}, make("h3", {}, "Loss"), places.loss), make("div", {}, make("h3", {}, "Validation, frame by frame"), places.score),
      make("div", {}, make("h3", {}, "p_teacher: how often the ground truth is fed"), places.teacher)));
  const known = (name) => (history[name] || []).some((value) => value !== null);
  const alone = epochs.length === 1;
  const base = (label, range, more) => ({
    height: 240, cursor: { sync: { key: "epochs" }, drag: { x: false, y: false } },
    scales: { x: { time: false, range: (u, low, high) => (alone ? [low - 1, high + 1] : [low, high]) }, y: { range } },
    axes: [axis("epoch", { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] }), axis(label, { size: 56 })],
    hooks: { draw: [marks([{ at: best, stroke: "green", text: more ? null : "best" }, { at: teacher?.epoch, stroke: "orange", text: more || null }])] },
  });
  const points = { points: { show: epochs.length <= 40, size: 6 } };
  const none = epochs.map(() => null);
  const column = (name) => (known(name) ? history[name] : none);
  addChart(places.loss, () => ({ ...base("loss", (u, low, high) => [0, (high || 1) * 1.05]), series: [{ label: "epoch" }, line("training", "blue", points), line("validation", "red", { ...points, dash: [8, 4] })] }), [epochs, column("train_loss"), column("validation_loss")]);
  addChart(places.score, () => ({ ...base("fraction", (u, low, high) => [0, Math.max(1, Math.min(high || 1, 3))]), series: [{ label: "epoch" }, line("F1", "blue", points), line("error rate", "red", { ...points, dash: [8, 4] })] }), [epochs, column("validation_f1"), column("validation_er")]);
  addChart(places.teacher, () => ({ ...base("probability", [0, 1.02], teacher?.epoch ? "below 0.5" : " "), series: [{ label: "epoch" }, line("p_teacher", "orange", { ...points, fill: () => `${colour("orange")}33` })] }), [epochs, column("p_teacher")]);
}

const OUTCOME_TEXT = {
  hit: "right", onset: "onset off", offset: "offset off", both: "both off", confused: "taken for another class", missed: "missed", inserted: "nothing there",
};

function stackedBar(counts, outcomes) {
  const total = counts.reduce((a, b) => a + b, 0);
  const text = outcomes.map((name, i) => (counts[i] ? `${counts[i]} ${OUTCOME_TEXT[name]}` : null)).filter(Boolean).join(", ");
  return make("div", { class: "stack", role: "img", "aria-label": text || "none", title: text }, outcomes.map((name, i) => (counts[i] ? make("i", { class: name, style: { width: `${(100 * counts[i]) / total}%` } }) : null)));
}

function showErrors(content) {
  const metrics = content.metrics;
  if (!metrics) return;
  const children = [];
  const kinds = content.kinds.filter((kind) => kind.in_short && metrics[kind.name]?.counts?.subs !== undefined);
  if (kinds.length) {
    children.push(make("h3", {}, "Counted, as error rates count them"), make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Numbers of errors" }, make("table", {},
      make("thead", {}, make("tr", {}, ["counted by", "annotated", "right", "substitutions", "deletions", "insertions"].map((text) => make("th", { scope: "col" }, text)))),
      make("tbody", {}, kinds.map((kind) => make("tr", {}, make("th", { scope: "row" }, kind.counted), ["n_ref", "tp", "subs", "dels", "ins"].map((key) => make("td", {}, metrics[kind.name].counts[key].toLocaleString("en")))))))));
  }
  if (content.event_outcomes) {
    const { outcomes, classes } = content;
    const [annotated, detected] = content.event_outcomes;
    const count = (name) => outcomes.indexOf(name);
    const rows = classes.map((label, i) => {
      const wrong = annotated[i].reduce((a, b) => a + b, 0) - annotated[i][0];
      const total = wrong + annotated[i][0];
      return { cells: [{ text: label, value: label, title: label }, { value: total ? wrong / total : null, node: stackedBar(annotated[i], outcomes) }, { value: total, text: String(total) },
        ...["onset", "offset", "both", "confused", "missed"].map((name) => ({ value: annotated[i][count(name)], text: String(annotated[i][count(name)]) })), { value: detected[i][count("inserted")], text: String(detected[i][count("inserted")]) }] };
    });
    children.push(make("h3", {}, "What became of each annotated event"),
      make("div", { class: "key" }, outcomes.filter((name) => name !== "inserted").map((name) => make("span", {}, make("i", { class: name }), OUTCOME_TEXT[name]))),
      sortableTable("What became of annotated events", [{ text: "class" }, { text: "events", up: false }, { text: "number", up: false }, { text: "onset off", up: false }, { text: "offset off", up: false }, { text: "both off", up: false }, { text: "confused", up: false }, { text: "missed", up: false }, { text: "false alarms", up: false, title: "Detected events with nothing there" }], rows, 1, false));
  }
  if (content.confusions_s) children.push(...confusionParts(content));
  addPart("errors", "Errors", "Which errors are made, and what is taken for what.", ...children);
}

function confusionParts(content) {
  const { classes, confusions_s: matrix } = content;
  const pairs = [];
  matrix.forEach((row, i) => row.forEach((value, j) => { if (value > 0) pairs.push([value, i, j]); }));
  pairs.sort((a, b) => b[0] - a[0]);
  const heading = make("h3", {}, "Confusions: one class missed where another was found instead");
  if (!pairs.length) return [heading, make("p", {}, "There are none.")];
  const most = pairs[0][0];
  const rows = classes.map((_, i) => i).filter((i) => matrix[i].some((v) => v > 0));
  const columns = classes.map((_, j) => j).filter((j) => matrix.some((row) => row[j] > 0));
  const list = pairs.slice(0, 5).map(([value, i, j]) => make("li", {}, make("b", {}, classes[i]), " taken for ", make("b", {}, classes[j]), ` during ${value.toFixed(1)} s`));
  return [heading, make("ol", { id: "confusions" }, list),
    make("details", { open: classes.length <= 20 }, make("summary", {}, "Table of all confusions, in seconds"), make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Confusions in seconds" },
      make("table", { class: "confusion" }, make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "missed ↓  found →"), columns.map((j) => make("th", { scope: "col", title: classes[j] }, shortened(classes[j], 24))))),
        make("tbody", {}, rows.map((i) => make("tr", {}, make("th", { scope: "row", title: classes[i] }, classes[i]), columns.map((j) => {
          const value = matrix[i][j];
          return make("td", { title: `${classes[i]} taken for ${classes[j]}: ${value.toFixed(2)} s`, style: { background: value ? `rgba(var(--cell), ${(0.08 + 0.5 * value / most).toFixed(3)})` : "" } }, value >= 0.05 ? value.toFixed(1) : value ? "·" : "");
        })))))))];
}

function showCalibration(content) {
  if (!content.bins) return;
  const { bins, classes } = content;
  const select = make("select", { id: "calibration-class" }, make("option", { value: "" }, "all classes"), classes.map((label, i) => make("option", { value: i }, shortened(label, 60))));
  const place = make("div", { class: "chart" });
  const amounts = make("div", { class: "chart" });
  const text = make("p", { id: "calibration-text", "aria-live": "polite" });
  addPart("calibration", "Calibration", "If the model says 0.8, is the class there in 8 of 10 frames? On the dashed line it is; below it the model is too sure, above it not sure enough.",
    make("div", { class: "row" }, make("label", {}, "Class", select)), text,
    make("div", { class: "charts" }, make("div", {}, make("h3", {}, "Annotated share of frames, by predicted probability"), place), make("div", {}, make("h3", {}, "Number of frames in each bin"), amounts)));
  let data = [[0], [0], [null]];
  const sums = (index) => bins[0].map((_, b) => [0, 1, 2].map((k) => (index === null ? bins.reduce((s, of) => s + of[b][k], 0) : bins[index][b][k])));
  function compute() {
    const of = sums(select.value === "" ? null : Number(select.value));
    const total = of.reduce((s, [n]) => s + n, 0);
    const error = of.reduce((s, [n, p, t]) => s + (n ? Math.abs(t - p) : 0), 0) / (total || 1);
    text.textContent = `Mean difference between predicted probability and annotated share: ${error.toFixed(3)} (expected calibration error over ${of.length} bins, ${total.toLocaleString("en")} values).`;
    const filled = of.filter(([n]) => n > 0);
    const xs = [0, ...filled.map(([n, p]) => p / n), 1];
    data = [xs, xs, [null, ...filled.map(([n, , t]) => t / n), null]];
    return of;
  }
  const middle = bins[0].map((_, b) => (b + 0.5) / bins[0].length);
  let of = compute();
  const reliability = () => ({ height: 300, cursor: { drag: { x: false, y: false } }, scales: { x: { time: false, range: [0, 1] }, y: { range: [0, 1.02] } }, axes: [axis("predicted probability"), axis("annotated share", { size: 56 })],
    series: [{ label: "predicted", value: (u, v) => fraction(v, 2) }, line("ideal", "soft", { dash: [5, 5], width: 1, points: { show: false } }), line("annotated", "blue", { points: { show: true, size: 9 } })] });
  const histogram = () => ({ height: 300, cursor: { drag: { x: false, y: false } }, scales: { x: { time: false, range: [0, 1] }, y: { distr: 3, range: (u, low, high) => [0.5, Math.max(10, high * 2)] } }, axes: [axis("predicted probability"), axis("frames (log)", { size: 66, values: (u, splits) => splits.map((v) => (v >= 1 && Number.isInteger(Math.log10(v)) ? v.toLocaleString("en") : "")) })],
    series: [{ label: "bin", value: (u, v) => fraction(v, 2) }, { label: "frames", stroke: () => colour("blue"), fill: () => colour("bar"), paths: uPlot.paths.bars({ size: [0.9, 100] }), points: { show: false }, value: (u, v) => (v === null || v === undefined ? "–" : v.toLocaleString("en")) }] });
  const drawn = [addChart(place, reliability, data), addChart(amounts, histogram, [middle, of.map(([n]) => n || null)])];
  charts.splice(-2, 2, () => redraw());
  function redraw() {
    for (const one of drawn) one.chart?.destroy();
    place.replaceChildren(); amounts.replaceChildren();
    new uPlot({ ...reliability(), width: Math.floor(place.clientWidth) }, data, place);
    new uPlot({ ...histogram(), width: Math.floor(amounts.clientWidth) }, [middle, of.map(([n]) => n || null)], amounts);
  }
  select.addEventListener("change", () => { of = compute(); redraw(); });
}

// Of the events that were detected with a confidence, how many match an annotated one.
function showConfidence(content) {
  const filled = content.metrics?.calibration?.bins?.filter(({ n }) => n > 0) || [];
  if (!filled.length) return;
  const total = filled.reduce((sum, { n }) => sum + n, 0);
  const place = make("div", { class: "chart" });
  const heads = ["confidence from", "to", "events", "mean confidence", "share that matches"];
  const table = make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Events by confidence" }, make("table", {},
    make("thead", {}, make("tr", {}, heads.map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, filled.map((bin) => make("tr", {}, make("td", {}, fraction(bin.from, 1)), make("td", {}, fraction(bin.to, 1)), make("td", {}, bin.n.toLocaleString("en")), make("td", {}, fraction(bin.confidence)), make("td", {}, fraction(bin.matched)))))));
  addPart("confidence", "Confidence of events", "Of the events detected with a confidence of 0.8, do 8 in 10 match an annotated one? On the dashed line they do; below it the detector is too sure, above it not sure enough.",
    make("p", {}, `Expected calibration error: ${fraction(content.metrics.calibration.ece)} (${total.toLocaleString("en")} detected events).`),
    make("div", { class: "charts" }, make("div", {}, make("h3", {}, "Share of events that match, by confidence"), place), make("div", {}, make("h3", {}, "The same in numbers"), table)));
  const xs = [0, ...filled.map(({ confidence }) => confidence), 1];
  addChart(place, () => ({ height: 300, cursor: { drag: { x: false, y: false } }, scales: { x: { time: false, range: [0, 1] }, y: { range: [0, 1.02] } }, axes: [axis("confidence"), axis("share that matches", { size: 56 })],
    series: [{ label: "confidence", value: (u, v) => fraction(v, 2) }, line("ideal", "soft", { dash: [5, 5], width: 1, points: { show: false } }), line("match", "blue", { points: { show: true, size: 9 } })] }), [xs, xs, [null, ...filled.map(({ matched }) => matched), null]]);
}
