// proves: between HEAD-base and the working tree only comments and string texts differ
import ts from "typescript"
import { execSync } from "node:child_process"
import { readFileSync } from "node:fs"
const base = process.argv[2]
const files = execSync(`git diff --name-only ${base}`, { encoding: "utf8" }).split("\n").filter((f) => f.endsWith(".ts"))
const code = (text, file) => {
  const src = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const out = []
  const walk = (n) => {
    if (n.kind === ts.SyntaxKind.StringLiteral || n.kind === ts.SyntaxKind.NoSubstitutionTemplateLiteral || n.kind === ts.SyntaxKind.TemplateHead || n.kind === ts.SyntaxKind.TemplateMiddle || n.kind === ts.SyntaxKind.TemplateTail) out.push({ s: n.getText(src) })
    else if (n.getChildCount(src) === 0) out.push({ t: n.getText(src) })
    else for (const c of n.getChildren(src)) if (c.kind < ts.SyntaxKind.FirstJSDocNode || c.kind > ts.SyntaxKind.LastJSDocNode) walk(c)
  }
  walk(src)
  return out
}
for (const f of files) {
  let old
  try { old = execSync(`git show ${base}:${f}`, { encoding: "utf8" }) } catch { console.log("new", f); continue }
  const a = code(old, f), b = code(readFileSync(f, "utf8"), f)
  const ta = a.filter((x) => x.t && x.t !== "+" && x.t !== "," && x.t !== ";").map((x) => x.t).join(" "), tb = b.filter((x) => x.t && x.t !== "+" && x.t !== "," && x.t !== ";").map((x) => x.t).join(" ")
  if (ta !== tb) { let i = 0; while (ta[i] === tb[i]) i++; console.log("CODE", f, "|", ta.slice(i - 60, i + 60), "|", tb.slice(i - 60, i + 60)) }
  const sa = a.filter((x) => x.s).map((x) => x.s), sb = b.filter((x) => x.s).map((x) => x.s)
  const A = new Set(sa), B = new Set(sb)
  for (const s of sa) if (!B.has(s)) console.log("-", f, s)
  if (process.argv[3]) for (const s of sb) if (!A.has(s)) console.log("+", f, s)
}
