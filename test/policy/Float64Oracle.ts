/**
 * The flat policy's decoder and loss once more, in float64 and plain loops: written from the formulas, sharing no code
 * with the engine. It is what finite differences are taken of.
 */
import { type DecoderConfig } from "../../src/policy/transformer/Transformer.ts"

export type Weights = Map<string, Float64Array>

const rms = (x: Float64Array, gain: Float64Array, epsilon: number): Float64Array => {
  let squares = 0
  for (const value of x) squares += value * value
  const scale = 1 / Math.sqrt(squares / x.length + epsilon)
  return x.map((value, i) => value * scale * gain[i]!)
}

/** `W x` for W [out, in]. */
const linear = (w: Float64Array, x: Float64Array): Float64Array => {
  const out = new Float64Array(w.length / x.length)
  for (let o = 0; o < out.length; o++) {
    let sum = 0
    for (let i = 0; i < x.length; i++) sum += w[o * x.length + i]! * x[i]!
    out[o] = sum
  }
  return out
}

const rotate = (x: Float64Array, heads: number, position: number, theta: number): Float64Array => {
  const width = x.length / heads
  const out = new Float64Array(x.length)
  for (let i = 0; i < width / 2; i++) {
    const angle = position * theta ** (-2 * i / width)
    const cosine = Math.cos(angle)
    const sine = Math.sin(angle)
    for (let h = 0; h < heads; h++) {
      const a = x[h * width + i]!
      const b = x[h * width + width / 2 + i]!
      out[h * width + i] = a * cosine - b * sine
      out[h * width + width / 2 + i] = b * cosine + a * sine
    }
  }
  return out
}

/** Final states of one row of tokens; `sees(t, s)` says whether position t attends to s. */
export const hidden = (
  config: DecoderConfig,
  weights: Weights,
  tokens: ArrayLike<number>,
  positions: ArrayLike<number>,
  sees: (t: number, s: number) => boolean
): ReadonlyArray<Float64Array> => {
  const w = (name: string) => weights.get(name)!
  const { epsilon, headWidth, heads, keyValueHeads, ropeTheta, width } = config
  let states = Array.from(tokens, (token) => w("model.embed_tokens.weight").slice(token * width, (token + 1) * width))
  for (let l = 0; l < config.layers; l++) {
    const name = (part: string) => `model.layers.${l}.${part}.weight`
    const normed = states.map((x) => rms(x, w(name("input_layernorm")), epsilon))
    const q = normed.map((x, t) => rotate(linear(w(name("self_attn.q_proj")), x), heads, positions[t]!, ropeTheta))
    const k = normed.map((x, t) =>
      rotate(linear(w(name("self_attn.k_proj")), x), keyValueHeads, positions[t]!, ropeTheta)
    )
    const v = normed.map((x) => linear(w(name("self_attn.v_proj")), x))
    states = states.map((x, t) => {
      const attended = new Float64Array(heads * headWidth)
      const visible = states.map((_, s) => s).filter((s) => sees(t, s))
      for (let h = 0; h < heads; h++) {
        const g = Math.floor(h / (heads / keyValueHeads))
        const scores = visible.map((s) => {
          let dot = 0
          for (let i = 0; i < headWidth; i++) dot += q[t]![h * headWidth + i]! * k[s]![g * headWidth + i]!
          return dot / Math.sqrt(headWidth)
        })
        const most = Math.max(...scores)
        const sum = scores.reduce((total, score) => total + Math.exp(score - most), 0)
        for (const [n, s] of visible.entries()) {
          const weight = Math.exp(scores[n]! - most) / sum
          for (let i = 0; i < headWidth; i++) attended[h * headWidth + i]! += weight * v[s]![g * headWidth + i]!
        }
      }
      const mixed = linear(w(name("self_attn.o_proj")), attended).map((value, i) => value + x[i]!)
      const h2 = rms(mixed, w(name("post_attention_layernorm")), epsilon)
      const gate = linear(w(name("mlp.gate_proj")), h2)
      const up = linear(w(name("mlp.up_proj")), h2)
      const down = linear(w(name("mlp.down_proj")), gate.map((value, i) => value / (1 + Math.exp(-value)) * up[i]!))
      return mixed.map((value, i) => value + down[i]!)
    })
  }
  return states.map((x) => rms(x, w("model.norm.weight"), epsilon))
}

/** Log-probability of `token` among `legal` tokens after a state. */
export const logProb = (
  config: DecoderConfig,
  weights: Weights,
  state: Float64Array,
  token: number,
  legal: ReadonlyArray<number>
): number => {
  const e = weights.get("model.embed_tokens.weight")!
  const logit = (id: number) => {
    let dot = 0
    for (let i = 0; i < config.width; i++) dot += e[id * config.width + i]! * state[i]!
    return dot
  }
  const most = Math.max(...legal.map(logit))
  return logit(token) - most - Math.log(legal.reduce((sum, id) => sum + Math.exp(logit(id) - most), 0))
}
