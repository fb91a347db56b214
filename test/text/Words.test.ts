import { assert, describe, it } from "@effect/vitest"
import * as Printable from "../../src/text/Printable.ts"
import * as Words from "../../src/text/Words.ts"

describe("Words", () => {
  it("takes letters, marks and digits of any script", () => {
    assert.deepStrictEqual(Words.of("Grüße Tasse, café-crème don't co_x"), [
      "grüße",
      "tasse",
      "café",
      "crème",
      "don",
      "t",
      "co",
      "x"
    ])
    assert.deepStrictEqual(Words.of("красная РУБАШКА 120"), ["красная", "рубашка", "120"])
    assert.deepStrictEqual(Words.of("ΟΔΟΣ | قميص أحمر | 빨간 셔츠"), ["οδος", "قميص", "أحمر", "빨간", "셔츠"])
    assert.deepStrictEqual(Words.of("का कि कपड़े"), ["का", "कि", "कपड़े"].map((word) => word.normalize("NFC")))
    assert.deepStrictEqual(Words.of("❤️ 🍔 👨‍👩‍👧 !!! ™"), [])
  })

  it("parts scripts without spaces into characters, and from other scripts", () => {
    assert.deepStrictEqual(Words.of("iPhone手机 第3代"), ["iphone", "手", "机", "第", "3", "代"])
    assert.deepStrictEqual(Words.of("シャツ、ﾊﾟﾝ"), ["シ", "ャ", "ツ", "パ", "ン"])
    assert.deepStrictEqual(Words.of("สีแดง"), ["สี", "แ", "ด", "ง"])
  })

  it("has one form for what reads the same", () => {
    assert.deepStrictEqual(Words.of("cafe\u0301 ＡＢＣ１ ﬁne Lego™ 1½ mo\u00adbile می\u200cخواهم"), [
      "café",
      "abc1",
      "fine",
      "lego",
      "1½",
      "mobile",
      "میخواهم"
    ])
    assert.deepStrictEqual(Words.of("<b>Caf&eacute;</b> 3&quot; &#38; Tea&amp;Co R&D;"), [
      "café",
      "3",
      "tea",
      "co",
      "r",
      "d"
    ])
  })

  it("leaves texts of ASCII as a plain pattern has them", () => {
    const ascii = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).filter((one) =>
      !"<>&".includes(one)
    )
    const text = Array.from({ length: 4000 }, (_, i) => ascii[(i * i * 7 + i) % ascii.length]!).join("")
    assert.deepStrictEqual(Words.of(text), text.toLowerCase().match(/[a-z0-9]+/g))
    // Beside one letter that is not ASCII the rest stays the same.
    assert.deepStrictEqual(Words.of(`${text} é`), [...text.toLowerCase().match(/[a-z0-9]+/g)!, "é"])
  })

  it("tells keys that read as titles from others", () => {
    for (const prose of ["Gel pen", "Die Hard (1988)", "红色衬衫"]) assert.isTrue(Words.isProse(prose), prose)
    for (const key of ["100", "B00012", "item_12", "item-12", "item 12", "a1-b2", "", "__proto__"]) {
      assert.isFalse(Words.isProse(key), key)
    }
  })
})

describe("Printable", () => {
  const nasty = "a\u001b[31mb\u0007\r\nc\td\u007f\u009b2J\u202eevil\u2066x\u2028y é 🍔 שלום\u200d"

  it("shows characters of control as escapes and leaves the rest", () => {
    assert.strictEqual(
      Printable.text(nasty),
      "a\\x1b[31mb\\x07\\x0d\nc\td\\x7f\\x9b2J\\u202eevil\\u2066x\\u2028y é 🍔 שלום\u200d"
    )
    assert.strictEqual(Printable.line("a\r\nb\tc\nd\u001b"), "a b c d\\x1b")
    for (let code = 0; code < 0xa0; code++) {
      const shown = Printable.text(String.fromCharCode(code))
      assert.isTrue(code === 9 || code === 10 || (shown >= " " && !/[\u007f-\u009f]/.test(shown)), String(code))
    }
  })

  it("writes JSON without them that reads back as the same value", () => {
    const json = Printable.json({ nasty, deep: [nasty] })
    assert.strictEqual(Printable.line(json), json)
    assert.deepStrictEqual(JSON.parse(json), { nasty, deep: [nasty] })
  })
})
