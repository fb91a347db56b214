/**
 * Line charts, interval plots and bar charts as inline SVG.
 */
import { html, type Markup, raw } from "./Html.ts"

/** One line of a chart: points (x, y) in ascending order of x. */
export interface Series {
  readonly name: string
  readonly points: ReadonlyArray<readonly [number, number]>
  /** Bounds around the line: x, low, high, in order of x. */
  readonly band?: ReadonlyArray<readonly [number, number, number]> | undefined
}

const width = 640
const height = 220
const margin = { left: 56, right: 12, top: 12, bottom: 34 }

/** Returns round numbers that divide a range into about `count` parts, 5 by default. */
export const ticks = (low: number, high: number, count = 5): ReadonlyArray<number> => {
  const span = high - low
  if (!(span > 0)) return [low]
  const rough = span / count
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough)!
  const first = Math.ceil(low / step) * step
  return Array.from({ length: Math.floor((high - first) / step + 1e-9) + 1 }, (_, i) => first + i * step)
}

const label = (value: number): string =>
  value === 0 ? "0" : Math.abs(value) >= 1000 ? value.toFixed(0) : String(Number(value.toPrecision(4)))

/** Draws lines over a common x axis; lines with more points than can be seen are thinned. */
export const lines = (title: string, xName: string, series: ReadonlyArray<Series>): Markup => {
  const shown = series.filter(({ points }) => points.length > 0)
  if (shown.length === 0) return html`<p class="quiet">${title}: nothing was recorded.</p>`
  const xs = shown.flatMap(({ points }) => points.map(([x]) => x))
  const ys = shown.flatMap(({ band = [], points }) => [
    ...points.map(([, y]) => y),
    ...band.flatMap(([, low, high]) => [low, high])
  ])
  const [x0, x1] = [Math.min(...xs), Math.max(...xs)]
  const pad = (Math.max(...ys) - Math.min(...ys)) * 0.05 || Math.abs(ys[0]!) * 0.1 || 1
  const [y0, y1] = [Math.min(...ys) - pad, Math.max(...ys) + pad]
  const px = (x: number) =>
    margin.left + (x1 === x0 ? 0.5 : (x - x0) / (x1 - x0)) * (width - margin.left - margin.right)
  const py = (y: number) => height - margin.bottom - (y - y0) / (y1 - y0) * (height - margin.top - margin.bottom)
  const path = (points: Series["points"]) => {
    const every = Math.max(1, Math.ceil(points.length / 300))
    return points.filter((_, i) => i % every === 0 || i === points.length - 1)
      .map(([x, y], i) => `${i === 0 ? "M" : "L"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`).join("")
  }
  const area = (band: NonNullable<Series["band"]>) =>
    `${
      path([
        ...band.map(([x, low]) => [x, low] as const),
        ...band.toReversed().map(([x, , high]) => [x, high] as const)
      ])
    }Z`
  return html`<figure>
<figcaption>${title}</figcaption>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
${
    ticks(y0, y1).map((y) =>
      html`<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${py(y)}" y2="${
        py(y)
      }"/><text class="tick" x="${margin.left - 6}" y="${py(y) + 4}" text-anchor="end">${label(y)}</text>`
    )
  }
${
    ticks(x0, x1, 6).map((x) =>
      html`<text class="tick" x="${px(x)}" y="${height - margin.bottom + 16}" text-anchor="middle">${label(x)}</text>`
    )
  }
<text class="tick" x="${width - margin.right}" y="${height - 4}" text-anchor="end">${xName}</text>
${
    shown.map(({ band = [], name }, i) =>
      band.length < 2
        ? raw("")
        : html`<path class="band l${i % 4}" d="${area(band)}"><title>${name}: 95 % interval</title></path>`
    )
  }
${
    shown.map(({ name, points }, i) =>
      html`<path class="line l${i % 4}" d="${path(points)}"><title>${name}</title></path>${
        points.length <= 40
          ? points.map(([x, y]) =>
            html`<circle class="dot l${i % 4}" cx="${px(x)}" cy="${py(y)}" r="3"><title>${name}: ${label(y)} at ${
              label(x)
            }</title></circle>`
          )
          : raw("")
      }`
    )
  }
</svg>
${
    shown.length > 1
      ? html`<ul class="legend">${
        shown.map(({ name }, i) => html`<li><span class="key l${i % 4}"></span>${name}</li>`)
      }</ul>`
      : raw("")
  }
</figure>`
}

/** A value with the bounds of its interval. */
export interface IntervalRow {
  readonly name: string
  readonly value: number
  readonly bounds: readonly [number, number]
}

/** Draws values with their intervals on one scale, one row each. */
export const intervalPlot = (title: string, rows: ReadonlyArray<IntervalRow>): Markup => {
  const line = 26
  const left = 130
  const tall = rows.length * line + 34
  const high = Math.max(...rows.map((row) => row.bounds[1]), 1e-6) * 1.05
  const px = (value: number) => left + value / high * (width - left - 16)
  return html`<figure>
<figcaption>${title}</figcaption>
<svg viewBox="0 0 ${width} ${tall}" role="img" aria-label="${title}">
${
    ticks(0, high, 6).map((x) =>
      html`<line class="grid" x1="${px(x)}" x2="${px(x)}" y1="6" y2="${tall - 24}"/><text class="tick" x="${
        px(x)
      }" y="${tall - 8}" text-anchor="middle">${label(x)}</text>`
    )
  }
${
    rows.map(({ bounds, name, value }, i) => {
      const y = 18 + i * line
      return html`<text class="name" x="${left - 8}" y="${y + 4}" text-anchor="end">${name}</text>
<line class="whisker" x1="${px(bounds[0])}" x2="${px(bounds[1])}" y1="${y}" y2="${y}"/>
<circle class="dot l0" cx="${px(value)}" cy="${y}" r="5"><title>${name}: ${value.toFixed(4)} [${
        bounds[0].toFixed(4)
      }, ${bounds[1].toFixed(4)}]</title></circle>`
    })
  }
</svg>
</figure>`
}

/** Draws values as bars from 0 on one scale, one row each. */
export const bars = (title: string, rows: ReadonlyArray<{ readonly name: string; readonly value: number }>): Markup => {
  const line = 26
  const left = 130
  const tall = rows.length * line + 12
  const high = Math.max(...rows.map((row) => row.value), 1e-6)
  return html`<figure>
<figcaption>${title}</figcaption>
<svg viewBox="0 0 ${width} ${tall}" role="img" aria-label="${title}">
${
    rows.map(({ name, value }, i) => {
      const y = 6 + i * line
      const wide = value / high * (width - left - 70)
      return html`<text class="name" x="${left - 8}" y="${y + 15}" text-anchor="end">${name}</text>
<rect class="dot l0" x="${left}" y="${y + 3}" width="${wide.toFixed(1)}" height="${line - 10}"/>
<text class="tick" x="${left + wide + 6}" y="${y + 15}">${label(value)}</text>`
    })
  }
</svg>
</figure>`
}

const fileColours = ["#1f5fa8", "#b3541e", "#2f7d4f", "#7a4f9a"]

/** Draws a line chart as a stand-alone SVG file, with title, legend and a white background. */
export const file = (title: string, xName: string, series: ReadonlyArray<Series>): string => {
  const inner = lines(title, xName, series).markup.match(/<svg[^>]*>([\s\S]*)<\/svg>/)?.[1] ?? ""
  const legend = series.map(({ name }, i) =>
    `<text x="${margin.left + 8 + i * 130}" y="-6" fill="${fileColours[i % 4]}" font-weight="600">${name}</text>`
  ).join("")
  const style = [
    "text{font:12px sans-serif}.grid{stroke:#ddd}.tick{fill:#555}.line{fill:none;stroke-width:1.8}",
    ...fileColours.map((colour, i) => `.line.l${i}{stroke:${colour}}.dot.l${i}{fill:${colour}}`)
  ].join("")
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -44 ${width} ${height + 44}" width="${width}">
<style>${style}</style>
<rect x="0" y="-44" width="${width}" height="${height + 44}" fill="#fff"/>
<text x="${margin.left}" y="-26" fill="#222" style="font-size:14px;font-weight:600">${title}</text>
${legend}
${inner.trim()}
</svg>
`
}
