"use strict";

const content = readJson("content");
showHeader(content);
showSummary(content);
showClasses(content);
showExplorer(content);
showErrors(content);
showLearning(content);
showCalibration(content);
showConfidence(content);
showSettings(content);

let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth !== width) { width = innerWidth; redrawAll(); }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
document.documentElement.dataset.ready = "true";
