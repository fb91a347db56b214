import { folded, neighbours, texts } from "./NewItems.ts"

folded("a catalogue, whitened", {}, texts)

neighbours("concat", "rq-kmeans")
neighbours("concat", "rq-vae")
neighbours("none", "rq-kmeans")
