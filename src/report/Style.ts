/**
 * Style sheet of reports.
 */

/** Style sheet for widths from 360 pixels, in light and dark mode. */
export const style = `
:root{color-scheme:light dark;--ink:#1c2430;--soft:#5b6676;--paper:#fbfaf7;--card:#fff;--rule:#dcd9d0;--a:#1f5fa8;--b:#b4552d;--c:#2f7d4f;--d:#7a4fa0;--good:#1d7042}
@media (prefers-color-scheme:dark){:root{--ink:#e7e6e1;--soft:#a2a9b4;--paper:#15181d;--card:#1c2027;--rule:#353b45;--a:#7db4f0;--b:#e8976f;--c:#7fcb9b;--d:#c3a0e6;--good:#7fcb9b}}
*{box-sizing:border-box}
html{scroll-behavior:smooth}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
header,main{max-width:1200px;margin:0 auto;padding:0 20px}
header{padding-top:40px}
h1{font-size:2rem;line-height:1.15;margin:.1em 0 .4em;overflow-wrap:anywhere}
h2{font-size:1.3rem;margin:0 0 .8em}
h3{font-size:1.05rem;margin:1.4em 0 .5em}
h4{font-size:.8rem;font-weight:600;color:var(--soft);margin:0 0 .3em}
section{margin:36px 0;padding-top:28px;border-top:1px solid var(--rule)}
nav{display:flex;flex-wrap:wrap;gap:4px 20px;margin-top:12px}
a{color:var(--a)}
.quiet,small{color:var(--soft)}
small{display:block;font-size:.75em;font-weight:400;white-space:nowrap}
li small{display:inline;margin-left:.4em}
.verdict{padding-left:1.1em;font-size:1.05rem}
.scroll{overflow-x:auto;margin:16px 0}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;min-width:100%}
th,td{padding:7px 10px;text-align:right;border-bottom:1px solid var(--rule);vertical-align:top;white-space:nowrap}
th[scope=row],thead th:first-child{text-align:left;position:sticky;left:0;background:var(--paper)}
thead th{font-size:.85rem;color:var(--soft);font-weight:600}
figure{margin:0}
figcaption{font-weight:600;font-size:.9rem;margin-bottom:6px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,440px),1fr));gap:28px}
svg{width:100%;height:auto;display:block}
.grid{stroke:var(--rule);stroke-width:1}
.tick,.name{fill:var(--soft);font-size:12px}
.name{fill:var(--ink);font-size:13px}
.line{fill:none;stroke-width:1.8}
.line.l0,.whisker{stroke:var(--a)}.line.l1{stroke:var(--b)}.line.l2{stroke:var(--c)}.line.l3{stroke:var(--d)}
.band{opacity:.16;stroke:none}.band.l0{fill:var(--a)}.band.l1{fill:var(--b)}.band.l2{fill:var(--c)}.band.l3{fill:var(--d)}
.dot.l0{fill:var(--a)}.dot.l1{fill:var(--b)}.dot.l2{fill:var(--c)}.dot.l3{fill:var(--d)}
.whisker{stroke-width:3;stroke-linecap:round;opacity:.55}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;list-style:none;padding:0;margin:4px 0 0;font-size:.85rem}
.key{display:inline-block;width:14px;height:3px;margin-right:6px;vertical-align:middle}
.key.l0{background:var(--a)}.key.l1{background:var(--b)}.key.l2{background:var(--c)}.key.l3{background:var(--d)}
.person{padding:18px 0;border-bottom:1px solid var(--rule)}
.person:last-child{border:0}
.person h3{margin:0 0 10px}
.person h3 span{font-size:.85rem;font-weight:500;margin-left:8px}
span.miss{color:var(--soft)}
.hit{color:var(--good)}
li.hit{font-weight:600}
.alarms li{margin:.3em 0}
.weights{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));gap:6px 24px;border:0;padding:0;margin:14px 0}
.weights label{display:grid;grid-template-columns:7em 1fr 5.5em;gap:10px;align-items:center;font-size:.9rem}
.weights input[type=number]{font:inherit;width:100%;padding:3px 6px;background:var(--card);color:var(--ink);border:1px solid var(--rule)}
.weights button{font:inherit;padding:3px 12px;justify-self:start;background:var(--card);color:var(--ink);border:1px solid var(--rule)}
#grpo>details{margin:16px 0}
details>.charts{margin-top:14px}
.group{padding:8px 0;border-bottom:1px solid var(--rule)}
.group td,.group th{padding:4px 8px;font-size:.85rem}
.group th[scope=row]{white-space:normal;min-width:17em;max-width:26em;font-weight:400}
.group tr.node td,.group tr.node th{color:var(--soft)}
.group tr.hit th{font-weight:600}
.what{font-weight:600}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,260px),1fr));gap:16px 28px}
.columns ol{margin:0;padding-left:1.6em;font-size:.92rem}
.columns p{margin:0;font-size:.92rem}
.tree,.tree ul{list-style:none;padding-left:0}
.tree ul{padding-left:22px;border-left:1px solid var(--rule);margin-left:6px}
.tree li{padding:2px 0;font-size:.92rem;overflow-wrap:anywhere}
summary{cursor:pointer}
code{font:.85em ui-monospace,SFMono-Regular,Menlo,monospace}
pre{overflow-x:auto;background:var(--card);border:1px solid var(--rule);padding:14px;font:.82rem/1.5 ui-monospace,SFMono-Regular,Menlo,monospace}
:focus-visible{outline:2px solid var(--a);outline-offset:2px}
`
