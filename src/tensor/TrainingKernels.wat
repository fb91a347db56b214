;; One-pass kernels over flat float32 buffers, each in a memory of its own. Every count is a multiple of 4, every address
;; of 16, and no memory has the last page of 4 GiB, so that the end of a buffer is still an address.
(module
  (import "env" "memory0" (memory $0 1 65535 shared))
  (import "env" "memory1" (memory $1 1 65535 shared))
  (import "env" "memory2" (memory $2 1 65535 shared))
  (import "env" "memory3" (memory $3 1 65535 shared))

  ;; AdamW: p, m, v in place in memories 0, 2 and 3; g in memory 1 is read once and scaled by $clip.
  ;; $keep = 1 - lr * decay, $rate = lr / (1 - beta1^t), $root = 1 / sqrt(1 - beta2^t)
  (func (export "adamw")
    (param $p i32) (param $g i32) (param $m i32) (param $v i32) (param $n i32)
    (param $clip f32) (param $beta1 f32) (param $beta2 f32) (param $epsilon f32)
    (param $keep f32) (param $rate f32) (param $root f32)
    (local $end i32) (local $g4 v128) (local $m4 v128) (local $v4 v128)
    (local $B1 v128) (local $C1 v128) (local $B2 v128) (local $C2 v128)
    (local $E v128) (local $K v128) (local $R v128) (local $Q v128) (local $S v128)
    (local.set $B1 (f32x4.splat (local.get $beta1)))
    (local.set $C1 (f32x4.splat (f32.sub (f32.const 1) (local.get $beta1))))
    (local.set $B2 (f32x4.splat (local.get $beta2)))
    (local.set $C2 (f32x4.splat (f32.sub (f32.const 1) (local.get $beta2))))
    (local.set $E (f32x4.splat (local.get $epsilon)))
    (local.set $K (f32x4.splat (local.get $keep)))
    (local.set $R (f32x4.splat (local.get $rate)))
    (local.set $Q (f32x4.splat (local.get $root)))
    (local.set $S (f32x4.splat (local.get $clip)))
    (local.set $end (i32.add (local.get $p) (i32.shl (local.get $n) (i32.const 2))))
    (block $out (loop $top
      (br_if $out (i32.ge_u (local.get $p) (local.get $end)))
      (local.set $g4 (f32x4.mul (v128.load $1 (local.get $g)) (local.get $S)))
      (local.set $m4 (f32x4.add
        (f32x4.mul (v128.load $2 (local.get $m)) (local.get $B1))
        (f32x4.mul (local.get $g4) (local.get $C1))))
      (local.set $v4 (f32x4.add
        (f32x4.mul (v128.load $3 (local.get $v)) (local.get $B2))
        (f32x4.mul (f32x4.mul (local.get $g4) (local.get $g4)) (local.get $C2))))
      (v128.store $2 (local.get $m) (local.get $m4))
      (v128.store $3 (local.get $v) (local.get $v4))
      (v128.store (local.get $p) (f32x4.sub
        (f32x4.mul (v128.load (local.get $p)) (local.get $K))
        (f32x4.mul (local.get $R) (f32x4.div (local.get $m4)
          (f32x4.add (f32x4.mul (f32x4.sqrt (local.get $v4)) (local.get $Q)) (local.get $E))))))
      (local.set $p (i32.add (local.get $p) (i32.const 16)))
      (local.set $g (i32.add (local.get $g) (i32.const 16)))
      (local.set $m (i32.add (local.get $m) (i32.const 16)))
      (local.set $v (i32.add (local.get $v) (i32.const 16)))
      (br $top))))

  ;; Sum of squares, accumulated in float64.
  (func (export "sumOfSquares") (param $x i32) (param $n i32) (result f64)
    (local $end i32) (local $a v128) (local $low v128) (local $high v128)
    (local.set $end (i32.add (local.get $x) (i32.shl (local.get $n) (i32.const 2))))
    (block $out (loop $top
      (br_if $out (i32.ge_u (local.get $x) (local.get $end)))
      (local.set $a (v128.load (local.get $x)))
      (local.set $low (f64x2.add (local.get $low) (f64x2.mul
        (f64x2.promote_low_f32x4 (local.get $a)) (f64x2.promote_low_f32x4 (local.get $a)))))
      (local.set $a (i8x16.shuffle 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7 (local.get $a) (local.get $a)))
      (local.set $high (f64x2.add (local.get $high) (f64x2.mul
        (f64x2.promote_low_f32x4 (local.get $a)) (f64x2.promote_low_f32x4 (local.get $a)))))
      (local.set $x (i32.add (local.get $x) (i32.const 16)))
      (br $top)))
    (local.set $low (f64x2.add (local.get $low) (local.get $high)))
    (f64.add (f64x2.extract_lane 0 (local.get $low)) (f64x2.extract_lane 1 (local.get $low))))

  ;; target += (source - target) * $weight; the target in memory 0, the source in memory 1
  (func (export "lerp") (param $target i32) (param $source i32) (param $n i32) (param $weight f32)
    (local $end i32) (local $W v128) (local $t v128)
    (local.set $W (f32x4.splat (local.get $weight)))
    (local.set $end (i32.add (local.get $target) (i32.shl (local.get $n) (i32.const 2))))
    (block $out (loop $top
      (br_if $out (i32.ge_u (local.get $target) (local.get $end)))
      (local.set $t (v128.load (local.get $target)))
      (v128.store (local.get $target) (f32x4.add (local.get $t)
        (f32x4.mul (f32x4.sub (v128.load $1 (local.get $source)) (local.get $t)) (local.get $W))))
      (local.set $target (i32.add (local.get $target) (i32.const 16)))
      (local.set $source (i32.add (local.get $source) (i32.const 16)))
      (br $top))))

  ;; Element i becomes $scale where hash(i, $key) < $threshold (unsigned), else 0. The hash is murmur3's finaliser.
  (func (export "dropout") (param $target i32) (param $n i32) (param $key i32) (param $threshold i32) (param $scale f32)
    (local $end i32) (local $counter v128) (local $x v128) (local $S v128) (local $T v128) (local $K v128)
    (local.set $S (f32x4.splat (local.get $scale)))
    (local.set $T (i32x4.splat (local.get $threshold)))
    (local.set $K (i32x4.splat (local.get $key)))
    (local.set $counter (v128.const i32x4 0 1 2 3))
    (local.set $end (i32.add (local.get $target) (i32.shl (local.get $n) (i32.const 2))))
    (block $out (loop $top
      (br_if $out (i32.ge_u (local.get $target) (local.get $end)))
      (local.set $x (v128.xor (local.get $K)
        (i32x4.mul (local.get $counter) (i32x4.splat (i32.const 0x9E3779B1)))))
      (local.set $x (v128.xor (local.get $x) (i32x4.shr_u (local.get $x) (i32.const 16))))
      (local.set $x (i32x4.mul (local.get $x) (i32x4.splat (i32.const 0x85EBCA6B))))
      (local.set $x (v128.xor (local.get $x) (i32x4.shr_u (local.get $x) (i32.const 13))))
      (local.set $x (i32x4.mul (local.get $x) (i32x4.splat (i32.const 0xC2B2AE35))))
      (local.set $x (v128.xor (local.get $x) (i32x4.shr_u (local.get $x) (i32.const 16))))
      (v128.store (local.get $target) (v128.and (local.get $S) (i32x4.lt_u (local.get $x) (local.get $T))))
      (local.set $counter (i32x4.add (local.get $counter) (i32x4.splat (i32.const 4))))
      (local.set $target (i32.add (local.get $target) (i32.const 16)))
      (br $top)))))
