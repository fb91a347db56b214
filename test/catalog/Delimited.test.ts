import { assert, describe, it } from "@effect/vitest"
import * as Delimited from "../../src/catalog/reader/Delimited.ts"
import * as Random from "../../src/statistics/Random.ts"

const cells = (form: Delimited.Format) => [form.columns, ...form.rows]
const told = (head: string, whole?: boolean) => {
  const { escape, header, quote, separator, skipSpace } = Delimited.sniff(head, whole)
  return { separator, quote, escape, skipSpace, header }
}
const plain = { separator: ",", quote: "\"", escape: "doubled", skipSpace: false, header: true } as const
const lines = (...rows: ReadonlyArray<string>) => `${rows.join("\n")}\n`

describe("Delimited", () => {
  it("finds each separator", () => {
    for (const separator of [",", "\t", ";", "|", "::", "^", "\u0001", " "]) {
      const form = Delimited.sniff(
        lines(["user", "item", "time"].join(separator), ...[1, 2, 3].map((n) => [`u${n}`, `i${n}`, n].join(separator)))
      )
      assert.deepStrictEqual(form.separator, separator)
      assert.deepStrictEqual(form.columns, ["user", "item", "time"])
      assert.deepStrictEqual(form.rows[2], ["u3", "i3", "3"])
      assert.isTrue(form.header)
    }
  })

  it("other separators inside of cells do not count", () => {
    assert.deepStrictEqual(
      told(lines("item_id\ttitle", "1\tUp, up, and away; again", "2\tOne, two; three", "3\tNone")),
      { ...plain, separator: "\t" }
    )
    assert.deepStrictEqual(
      told(lines("user_id;item_id;rating;timestamp", "u0;i0;4,5;100", "u0;i1;4,5;101")),
      { ...plain, separator: ";" }
    )
    assert.deepStrictEqual(told(lines("1;4,5", "2;3,5", "3;1,0")), { ...plain, separator: ";", header: false })
    assert.deepStrictEqual(
      told(lines("1::Toy Story (1995)::Animation|Children's|Comedy", "2::Heat, the film (1995)::Action|Crime")),
      { ...plain, separator: "::", header: false }
    )
    assert.deepStrictEqual(
      told(lines("movieId,title,genres", "1,Toy Story,A|B|C", "2,Heat,A|B|C")),
      plain
    )
    assert.deepStrictEqual(
      told(lines("\"id;no\",\"title, long\"", "1,\"a;b;c\"", "2,\"d, e\"")),
      plain
    )
    // A header of one cell less is that of R.
    const r = Delimited.sniff(lines("\"user\";\"item\"", "\"1\";\"u1\";\"i1\"", "\"2\";\"u2\";\"i2\""))
    assert.deepStrictEqual([r.separator, r.columns, r.rows[1]], [";", ["", "user", "item"], ["2", "u2", "i2"]])
    // A row or two that do not fit change nothing.
    assert.deepStrictEqual(
      told(lines("user,item,title|x", ...Array.from({ length: 30 }, (_, n) => `u${n},i${n},a|b`), "u,i,a,b|c", "u|v")),
      plain
    )
  })

  it("quotes hold separators, line ends and quotes", () => {
    const form = Delimited.sniff("id,title\r\n1,\"a, b\"\r\n2,\"say \"\"hi\"\"\r\nand go\"\r\n3,\"\"\r\n")
    assert.deepStrictEqual(cells(form), [["id", "title"], ["1", "a, b"], ["2", "say \"hi\"\r\nand go"], ["3", ""]])
    assert.strictEqual(form.lineEnd, "\r\n")
    assert.strictEqual(form.escape, "doubled")
  })

  it("backslashes escape where doubled quotes make no sense", () => {
    const form = Delimited.sniff(
      lines("id,title", "1,\"say \\\"hi, you\\\" \\\\ so\"", "2,\"C:\\temp\"", "3,\"5\\\"\"")
    )
    assert.deepStrictEqual(cells(form), [["id", "title"], ["1", "say \"hi, you\" \\ so"], ["2", "C:\\temp"], [
      "3",
      "5\""
    ]])
    assert.strictEqual(form.escape, "backslash")
    // A backslash before a closing quote is one.
    const paths = Delimited.sniff(lines("id,path", "1,\"C:\\\"", "2,\"D:\\x\""))
    assert.deepStrictEqual(cells(paths), [["id", "path"], ["1", "C:\\"], ["2", "D:\\x"]])
    assert.strictEqual(paths.escape, "doubled")
  })

  it("quotation marks that are part of the text are left alone", () => {
    const news = lines(
      "N1\tnews\tThe \"Brands\" Queen\t[{\"a\": \"b\"}]",
      "N2\tnews\t\"Brands\" of queens\t[]",
      "N3\tnews\t\"Open\t[]",
      "N4\tnews\tPlain\t[]"
    )
    const form = Delimited.sniff(news)
    assert.isUndefined(form.quote)
    assert.deepStrictEqual(form.rows[1], ["N3", "news", "\"Open", "[]"])
    assert.strictEqual(form.columns[2], "The \"Brands\" Queen")
    // With commas a quote that does not close is a mistake of its row; marks inside of cells are none.
    const open = Delimited.sniff(lines("user,item,time", "u1,\"i1,5", "u2,i2,6", "u3,i\"3,7", "u4,i4,8"))
    assert.strictEqual(open.quote, "\"")
    assert.deepStrictEqual(open.rows, [["u1", "\"i1", "5"], ["u2", "i2", "6"], ["u3", "i\"3", "7"], ["u4", "i4", "8"]])
    // Among many quoted cells one is malformed.
    const mostly = lines("id,title", ...Array.from({ length: 20 }, (_, n) => `${n},"a, ${n}"`), "21,\"b\" c")
    assert.strictEqual(Delimited.sniff(mostly).quote, "\"")
    assert.deepStrictEqual(Delimited.sniff(mostly).rows[19], ["19", "a, 19"])
  })

  it("spaces after separators are told and removed", () => {
    const quoted = Delimited.sniff(lines("\"user\", \"item\"", "\"u, 1\", \"i1\"", "\"u2\" , \"i, 2\""))
    assert.deepStrictEqual(cells(quoted), [["user", "item"], ["u, 1", "i1"], ["u2", "i, 2"]])
    assert.isTrue(quoted.skipSpace)
    const bare = Delimited.sniff(lines("user, item, title", "u1, i1, a b", "u2, i2, c"))
    assert.deepStrictEqual(cells(bare), [["user", "item", "title"], ["u1", "i1", "a b"], ["u2", "i2", "c"]])
    assert.isTrue(bare.skipSpace)
    const some = Delimited.sniff(lines("user,title", "u1, a", "u2,b"))
    assert.isFalse(some.skipSpace)
    assert.deepStrictEqual(some.rows, [["u1", " a"], ["u2", "b"]])
  })

  it("single quotes are quotes only where every cell shows it", () => {
    const form = Delimited.sniff(lines("'id','title'", "'1','a, b'", "'2','it''s'"))
    assert.deepStrictEqual(cells(form), [["id", "title"], ["1", "a, b"], ["2", "it's"]])
    assert.strictEqual(form.quote, "'")
    const minimal = Delimited.sniff(lines("id,title", "1,'a, b'", "2,c"))
    assert.deepStrictEqual(cells(minimal), [["id", "title"], ["1", "a, b"], ["2", "c"]])
    const songs = Delimited.sniff(lines("id,title", "1,'Til there was you", "2,'Round midnight'", "3,Don't"))
    assert.strictEqual(songs.quote, "\"")
    assert.deepStrictEqual(songs.rows[1], ["2", "'Round midnight'"])
    const one = Delimited.sniff(lines("id,title", "1,'Heroes'", "2,Low", "3,Lodger"))
    assert.deepStrictEqual(one.rows[0], ["1", "'Heroes'"])
  })

  it("every line end is told", () => {
    const rows = ["user,item", "u1,i1", "u2,i2", "u3,i3"]
    for (const end of ["\n", "\r\n", "\r"] as const) {
      for (const last of ["", end]) {
        const form = Delimited.sniff(rows.join(end) + last)
        assert.strictEqual(form.lineEnd, end)
        assert.deepStrictEqual(cells(form), rows.map((row) => row.split(",")))
      }
    }
    const mixed = Delimited.sniff("user,item\r\nu1,i1\nu2,i2\r\n")
    assert.strictEqual(mixed.lineEnd, "mixed")
    assert.deepStrictEqual(mixed.rows, [["u1", "i1"], ["u2", "i2"]])
    assert.strictEqual(Delimited.sniff("user,item\r\nu1,\"a\nb\"\r\n").lineEnd, "\r\n")
    assert.strictEqual(Delimited.sniff("user,item").lineEnd, "\n")
  })

  it("what stands before the first row is counted: comments, blank lines, the sign of spreadsheets", () => {
    const konect = Delimited.sniff(lines("% bip weighted", "% 3 2 2", "1 10 5", "2 11 4", "3 10 1"))
    assert.strictEqual(konect.commentLines, 2)
    assert.deepStrictEqual(konect.columns, ["1", "10", "5"])
    assert.strictEqual(konect.separator, " ")
    assert.isFalse(konect.header)
    const snap = Delimited.sniff("\ufeff# Nodes: 3, Edges: 4\r\n# From\tTo\r\n\r\n0\t1\r\n0\t2\r\n")
    // The last comment names the columns: it stands for the header line, which the lines to skip end with.
    assert.deepStrictEqual([snap.commentLines, snap.separator, snap.header], [2, "\t", true])
    assert.deepStrictEqual([snap.columns, snap.rows], [["From", "To"], [["0", "1"], ["0", "2"]]])
    const sheet = Delimited.sniff(lines("sep=;", "user;item", "1,5;2,5", "1,6;3,7"))
    assert.deepStrictEqual([sheet.commentLines, sheet.separator, sheet.columns], [1, ";", ["user", "item"]])
    const tags = Delimited.sniff(lines("#one,5", "#two,6"))
    assert.deepStrictEqual([tags.commentLines, tags.columns], [0, ["#one", "5"]])
  })

  it("a byte-order mark and spaces around names are no part of them", () => {
    assert.deepStrictEqual(Delimited.sniff("\ufeffuser ,item\nu1,i1\nu2,i2\n").columns, ["user", "item"])
    assert.deepStrictEqual(Delimited.sniff("\ufeff\"user\",\"item\"\n1,2\n").columns, ["user", "item"])
  })

  it("a line that is cut off is no row, unless the head is the whole file", () => {
    const head = lines("user,item,title", "u1,i1,a", "u2,i2,\"b\nc\"")
    assert.deepStrictEqual(Delimited.sniff(`${head}u3,i3,cu`, false).rows.length, 2)
    assert.deepStrictEqual(Delimited.sniff(`${head}u3,i3,"cut, and`, false).rows.length, 2)
    assert.deepStrictEqual(Delimited.sniff(`${head}u3,i3,c`).rows[2], ["u3", "i3", "c"])
    const long = lines("user,item", ...Array.from({ length: 9000 }, (_, n) => `u${n},i${n}`))
    assert.strictEqual(Delimited.sniff(long.slice(0, 65_536)).rows.length, 50)
    assert.deepStrictEqual(Delimited.sniff("user,item,time", false).columns, ["user", "item", "time"])
  })

  it("a text that nothing divides is one column", () => {
    const titles = Delimited.sniff(lines("title", "Hello, world", "Up", "One; two"))
    assert.deepStrictEqual(cells(titles), [["title"], ["Hello, world"], ["Up"], ["One; two"]])
    assert.strictEqual(Delimited.sniff(lines("id", "1", "2")).separator, ",")
    const sequences = Delimited.sniff(lines("1 10 11 12", "2 13", "3 10 14"))
    assert.strictEqual(sequences.columns.length, 1)
    assert.deepStrictEqual(cells(Delimited.sniff("")), [[]])
    assert.isUndefined(Delimited.sniff("").header)
    assert.deepStrictEqual(cells(Delimited.sniff("\n\n")), [[]])
  })

  it("runs of spaces divide, where every row has as many cells", () => {
    const form = Delimited.sniff(lines("  1   10  5 ", "2 11    4", "10 9 3"))
    assert.deepStrictEqual(cells(form), [["1", "10", "5"], ["2", "11", "4"], ["10", "9", "3"]])
    assert.strictEqual(form.separator, " ")
  })

  it("a header differs in kind from what stands below it", () => {
    const headers: ReadonlyArray<readonly [boolean | undefined, string]> = [
      [true, lines("who,what", "u1,i1", "u2,i2")],
      [true, lines("who,when", "anna,2014-12-06 02", "ben,2014-12-07 03")],
      [true, lines(",who,what", "0,10,11", "1,12,13")],
      [true, lines("q1,q2", "5,4", "3,2")],
      [true, lines("user,item", "anna,apple", "ben,pear")],
      [true, lines("User ID;Product title", "anna;apple", "ben;pear")],
      [true, lines("user_id:token\titem_id:token", "anna\tapple", "ben\tpear")],
      [true, lines("sessionId,parentAsin")],
      [undefined, lines("anna,apple", "ben,pear")],
      [undefined, lines("The Book Thief|Markus Zusak", "Emma|Jane Austen")],
      [false, lines("1,10", "2,11")],
      [false, lines("A2SUAM1J3GNN3B,0000013714,5.0,1372204800", "A3,0000013715,4.0,1372204801")],
      [false, lines("N1\tnews\tA title", "N2\tnews\tAnother title")],
      [false, lines("anna,2014-12-06", "ben,2014-12-07")],
      [false, lines("anna,NULL,5", "ben,3,4")],
      [false, lines("u1,none yet,5", "u2,3,4", "u3,4,4")],
      [false, lines("5,4")]
    ]
    for (const [header, text] of headers) assert.strictEqual(Delimited.sniff(text).header, header, text)
  })

  it("random tables are read back, however they are written", () => {
    const signs = [",", ";", "|", "\t", "\"", "'", "\n", " ", " ", "a", "Bee", "ü", "語", "x y", "\\t", "::", "^", "#"]
    let tables = 0
    for (const [s, separator] of [",", "\t", ";", "|", "::", "^", "\u0001"].entries()) {
      for (const [q, quote] of ["\"", "'", undefined].entries()) {
        for (const [e, escape] of (["doubled", "backslash"] as const).entries()) {
          if (quote === undefined && escape === "backslash") continue
          for (const [n, end] of ["\n", "\r\n", "\r"].entries()) {
            // Apostrophes here and there prove no quotes.
            for (const always of quote === "'" ? [true] : [true, false]) {
              for (const skipSpace of [true, false]) {
                for (const header of [true, false]) {
                  const next = Random.uniform(13, s, q, e, n, always ? 1 : 0, skipSpace ? 1 : 0, header ? 1 : 0)
                  const title = () => {
                    const text = Array.from(
                      { length: 1 + Math.floor(next() * 6) },
                      () => signs[Math.floor(next() * signs.length)]!
                    ).join("").trim()
                    if (quote === undefined) return text.replaceAll(separator, "").replace(/["'\n]/g, "").trim() || "t"
                    return text || "t"
                  }
                  const rows = [
                    ...(header ? [["user_id", "item_id", "timestamp", "title"]] : []),
                    ...Array.from(
                      { length: 12 },
                      (_, row) => [
                        `u${row}`,
                        `B0${Math.floor(next() * 90)}`,
                        String(14e8 + row),
                        // Shows how a quotation mark is escaped.
                        (row === 0 && quote !== undefined ? `a ${quote}b${quote} ` : "") + title()
                      ]
                    )
                  ]
                  const written = (cell: string) => {
                    if (quote === undefined) return cell
                    const needed = /["'\r\n\\]|^\s|\s$/.test(cell) || cell.includes(separator)
                    if (!always && !needed) return cell
                    return quote + (escape === "doubled"
                      ? cell.replaceAll(quote, quote + quote)
                      : cell.replaceAll("\\", "\\\\").replaceAll(quote, `\\${quote}`)) +
                      quote
                  }
                  const text = rows.map((row) => row.map(written).join(separator + (skipSpace ? " " : ""))).join(end) +
                    end
                  const form = Delimited.sniff(text)
                  assert.deepStrictEqual(cells(form), rows, JSON.stringify(text))
                  assert.deepStrictEqual(
                    [form.separator, form.skipSpace, form.header, form.lineEnd],
                    [separator, skipSpace, header, end],
                    text
                  )
                  tables++
                }
              }
            }
          }
        }
      }
    }
    assert.isAbove(tables, 600)
  })
})
