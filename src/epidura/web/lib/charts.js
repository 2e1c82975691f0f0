// Plotly, loaded when a room first draws, in the colours of the page.

let loading = null;

/** The library; a room that draws waits for it. */
export function plotly() {
  loading ??= new Promise((done, fail) => {
    const script = document.createElement("script");
    script.src = "/web/plotly.min.js";
    script.onload = () => done(window.Plotly);
    script.onerror = () => { loading = null; script.remove(); fail(new Error("the drawing library could not be loaded")); };
    document.head.append(script);
  });
  return loading;
}

const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Colours that colour-blind eyes tell apart (Okabe and Ito), used with differing dashes and symbols. */
export const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
export const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];
export const SYMBOLS = ["circle", "square", "diamond", "triangle-up", "cross", "x"];

/** What every chart shares; `more` overrides. */
export function layout(more = {}) {
  const axis = { gridcolor: ink("--line"), zerolinecolor: ink("--line"), linecolor: ink("--faint"), automargin: true };
  const merged = { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: "system-ui, sans-serif", size: 13, color: ink("--ink") },
    margin: { l: 56, r: 16, t: 28, b: 44 }, colorway: COLOURS, legend: { orientation: "h", y: -0.22 }, hovermode: "closest", ...more };
  merged.xaxis = { ...axis, ...more.xaxis };
  merged.yaxis = { ...axis, ...more.yaxis };
  return merged;
}

/**
 * Draws into a node. `says`: the chart in words, for those who cannot see it. Redrawn when the theme changes.
 */
export async function chart(node, traces, more = {}, says = "", config = {}) {
  const lib = await plotly();
  node.setAttribute("role", "figure"); // not img: the buttons of the chart are inside
  node.setAttribute("aria-label", says);
  const draw = () => lib.react(node, traces, layout(more), { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["sendDataToCloud", "lasso2d", "select2d"], ...config });
  node.redraw = draw;
  await draw();
  return lib;
}

document.addEventListener("epidura-theme", () => {
  for (const node of document.querySelectorAll(".js-plotly-plot")) node.redraw?.();
});
