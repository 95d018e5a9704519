// SPDX-License-Identifier: MIT
//
// args.h: what the host and the kernels agree on: the live block, the argument struct (push constants) of every kernel,
// its bindings and its specialization constants. Included by C (trainer/graph) and by GLSL. All members are 32-bit
// scalars, so both languages lay them out alike.
//
// Rules for every kernel
// - Binding 0 is the live block. Specialization constant 0 is the workgroup size (a power of two), constant 1 the mask
//   STORE: bit b set means that the tensor at binding b is stored as bf16 (pairs in a uint), clear means f32. Tensors
//   listed as (f32) or (uint) ignore their bit. Further constants are listed with the kernel.
// - Matrices are row-major; a leading dimension `ld` counts elements and is a multiple of 8; offsets count elements and
//   are multiples of 8. Columns beyond the width, up to ld, hold anything (tests fill them with NaN): they are selected
//   away, never multiplied away, and never written (bf16: the pair's other half is padding and may be written as 0).
// - Rows at or beyond the live count are neither read nor written, unless the kernel's comment says otherwise.
// - Sums are f32, in an order that depends only on sizes and constants.
// - Groups are numbered x + y * (groups in x); groups beyond the work return. How many there are:
//   row kernels            one a row: embed, rmsnorm, rmsnorm_backward, rope, glu, glu_backward, gather_rows, scatter_rows,
//                          cross_entropy, dropout, sample; embed_backward one a distinct id (at most T)
//   element-wise kernels   any number is right (lanes stride over the grid): fill, convert, adamw, sgd; ELEMENTS_A_LANE
//                          elements a lane are enough work
//   rmsnorm_dw             blocks * ceil(columns / (4 GROUP))
//   column_sum             ceil(columns / COLUMN_SUM_WIDTH(GROUP))
//   cache_append           one a row, then FORK_GROUPS a sequence
//   sum_squares            ceil(count / block);   norm_finish 1
#ifndef PUMICE_ARGS_H
#define PUMICE_ARGS_H

#ifndef GL_core_profile
#include <stdint.h>
#define uint uint32_t
#endif

#define NO_TARGET 0xffffffffu

// The live block (binding 0 of every kernel): what changes from one replay to the next. 128 bytes.
struct live_block {
    uint tokens;     // rows of the micro-batch in use
    uint documents;  // conversations in it
    uint targets;    // rows whose output predicts a trained token
    uint distinct;   // different token ids
    uint first;      // 1: the step's first micro-batch, gradients are set; 0: gradients are added to
    float loss_scale; // 1 / trained tokens of the whole step, times any loss scaling
    uint seed_low, seed_high, step; // dropout: a key of the run's seed, and the optimizer step
    float dropout;   // probability, 0: none
    // the update
    float learning_rate, beta1, beta2, epsilon, weight_decay, max_norm;
    float correction1, correction2; // 1 / (1 - beta1^t), 1 / (1 - beta2^t), from the host's doubles
    float gradient_scale;           // multiplies every gradient before norm and update (1 / loss scaling)
    // generation
    float temperature, top_p;
    uint top_k;
    float rest1, rest2; // 1 - beta1, 1 - beta2, from the host's doubles (in f32, 1 - 0.999 is off by 1.3e-5 of itself)
    uint forks;         // sequences that take over another's keys and values
    uint reserved[7];
};

#define ELEMENTS_A_LANE 32u
#define COLUMN_SUM_WIDTH(group) (4u * ((group) < 8u ? (group) : 8u)) // columns that one group of column_sum adds up

// Kinds for LIVE constants: which count bounds the rows.
#define LIVE_NONE 0u
#define LIVE_TOKENS 1u
#define LIVE_TARGETS 2u
// An argument `first_row` says at which row of the micro-batch the bound range begins (chunks of target rows, tensors
// beyond max_range): live rows = clamp(count - first_row, 0, rows).

// ---- matrix product ------------------------------------------------------------------------------------------
// matmul_*.comp (variants): C[M,N] (+)= op(A) op(B), f32 sums.
//   NT: C[m,n] = sum_k A[m,k] B[n,k]    (forward: x W^T)       NN: C[m,n] = sum_k A[m,k] B[k,n]   (dx = dy W)
//   TN: C[m,n] = sum_k A[k,m] B[k,n]    (dW = dy^T x)
// Bindings: 1 A, 2 B, 3 C, 4 E (residual [M,N] or bias [N]; bound to B when unused).
// Constants: 2 LAYOUT, 3 LIVE_M, 4 LIVE_K (a LIVE_ kind: M or K is cut to that count), 5 ADD, 6 EPILOGUE; 7.. per variant.
#define LAYOUT_NT 0u
#define LAYOUT_NN 1u
#define LAYOUT_TN 2u
#define ADD_NONE 0u
#define ADD_ALWAYS 1u
#define ADD_UNLESS_FIRST 2u // live.first decides: set or add
#define EPILOGUE_NONE 0u
#define EPILOGUE_RESIDUAL 1u
#define EPILOGUE_BIAS 2u
struct matmul_args {
    uint m, n, k;
    uint lda, ldb, ldc, lde;
    uint offset_a, offset_b, offset_c, offset_e; // elements
    uint first_row; // of the live dimension (m or k), for both LIVE kinds
    float scale;    // multiplies the sum before adding
};

// strips: a copy in f32 of x [rows, columns], of which the rows below the live ones, r, are written. ORDER
//   STRIPS: y[c / width, r, c % width], in bands of 16 rows (the last row stands for those that x has not)
//   TURNED: y[r / width, c, r % width], in such bands too, so that width >= rows is the transpose, whose leading dimension is width
//   ROWS: y[r, c], width its leading dimension
// Bindings 1 x, 2 y. Constants 2 LIVE, 3 ORDER, 4 PAIRS (bf16 x, in STRIPS: of each 2 GROUP columns of a strip the even ones come
// first, then the odd ones). Groups: ceil(rows / 16) * ceil(columns / (GROUP words)); ROWS: rows * ceil(columns / (ROWS_VECTORS GROUP words)).
#define STRIPS_ORDER 0u
#define TURNED_ORDER 1u
#define ROWS_ORDER 2u
#define ROWS_VECTORS 16u
struct strips_args {
    uint rows, columns, ldx, width;
    uint offset;    // x's first column
    uint first_row; // x is bound from this row on
};

// ---- embedding -----------------------------------------------------------------------------------------------
// embed: out[t,:] = table[ids[t],:] for ids in [first, first + rows), the range of the table that is bound.
// Bindings: 1 ids (uint [T]), 2 table [V,C], 3 out [T,C].
struct embed_args {
    uint columns, ld_table, ld_out;
    uint first, rows;
    float scale; // Gemma multiplies by sqrt(C); else 1
};
// embed_backward: dtable[id,:] (+)= scale * sum of dout[t,:] over the rows t of that id, in the order of sorted_rows.
// One group a distinct id. Constant 2 ADD: always added to (tied head: dW was set before), or set-or-added by
// live.first: with ADD_UNLESS_FIRST only the rows of ids present are written; the rest was zeroed by `fill`.
// Bindings: 1 sorted_rows (uint [T]), 2 group_first (uint [distinct + 1]), 3 group_ids (uint [distinct]),
// 4 dout [T,C], 5 dtable [V,C].
struct embed_backward_args {
    uint columns, ld_dout, ld_table;
    uint first, rows;
    float scale;
};

// The constant of row kernels that read through addresses (row.glsl): columns / (4 GROUP).
#define ROW_ROUNDS 11

// ---- RMSNorm (Zhang and Sennrich 2019) -----------------------------------------------------------------------
// rmsnorm: rstd[t] = 1 / sqrt(mean_c x^2 + epsilon); y = x * rstd * (w + shift).
// Bindings: 1 x [T,C], 2 w [C], 3 y [T,C], 4 rstd (f32 [T]). Constant 2 LIVE.
struct rmsnorm_args {
    uint rows, columns, ldx, ldy;
    float epsilon, shift; // shift: Gemma's 1 + w; else 0
    uint first_row;       // x and y are bound from this row of the micro-batch on; rstd whole
};
// rmsnorm_backward: dx (+)= rstd * (g - xhat * mean_c(g * xhat)), g = dy * (w + shift), xhat = x * rstd.
// Bindings: 1 x, 2 w, 3 rstd, 4 dy [T,C], 5 dx [T,C] (read when ADD). Constants: 2 LIVE, 3 ADD (none or always).
// rmsnorm_dw: partial[b,c] = sum over the live rows t of block b (rows_per_block each) of dy[t,c] * x[t,c] * rstd[t];
// every block's row is written, zeros for blocks without live rows. Bindings: 1 x, 2 rstd, 3 dy, 4 partial (f32 [blocks, ldp]).
struct rmsnorm_backward_args {
    uint rows, columns, ldx, ldy, lddx;
    uint rows_per_block, ldp; // partial is bound whole: the range's first block is first_row / rows_per_block
    float shift;
    uint first_row;           // x, dy, dx are bound from this row on; rstd whole
};
// column_sum: out[c] (+)= sum_b in[b, offset + c] in an order fixed by the workgroup size; bindings 1 in [rows, ld],
// 2 out (f32 [columns]). Constants: 2 LIVE (bounds rows; LIVE_NONE for partials), 3 ADD.
struct column_sum_args {
    uint rows, columns, ld, offset;
};

// ---- rotary embedding (Su et al. 2021, Hugging Face's rotate_half) --------------------------------------------
// In place on `heads` heads of size head_dim that lie side by side from column `offset` on: with p = positions[t],
// x[i], x[i + D/2] = x[i] cos - sign x[i+D/2] sin, x[i+D/2] cos + sign x[i] sin; sign -1 is the backward pass.
// Bindings: 1 positions (uint [T]), 2 table (f32 [P, D]: D/2 cosines, then D/2 sines), 3 x [T, ld].
struct rope_args {
    uint rows, heads, head_dim, ld, offset;
    float sign;
    uint first_row; // x is bound from this row on; positions whole
};

// ---- attention (causal, grouped queries, isolated documents) ---------------------------------------------------
// Q, K and V are column ranges of one matrix qkv [T, ld]: query head h at offset_q + h D, key head g = h / (heads /
// kv_heads) at offset_k + g D, likewise V. Row t sees the keys s with max(starts[t], t - window + 1) <= s <= t; window 0:
// no limit. Scores are scaled by `scale`. lse[h, t] (f32 [heads, ld_lse]) is the natural log-sum-exp of the scaled scores.
// attention_forward: bindings 1 starts (uint [T]), 2 qkv, 3 out [T, heads D], 4 lse.
// attention_delta: delta[h,t] = sum_d dout * out; bindings 1 out, 2 dout, 3 delta (f32 [heads, ld_lse]).
// attention_dq: bindings 1 starts, 2 qkv, 3 dout, 4 lse, 5 delta, 6 dqkv (writes the Q columns).
// attention_dkv: bindings 1 ends (uint [T], one past the document's last row), 2 qkv, 3 dout, 4 lse, 5 delta, 6 dqkv
// (writes the K and V columns; loops the query heads of the group in order).
// Dropout of the probabilities (live.dropout > 0, constant DROPOUT 1) needs conversation and position (see dropout);
// bindings 7 conversation, 8 positions there, 5 and 6 in attention_forward: bound always. Constants: 2 HEAD_DIM,
// 3 DROPOUT, 4 DEAL, 5 BLOCK, 6 SPLIT (attention.glsl), for attention_cache too. attention_*_wide: the same. Groups: ceil(T / (GROUP / SPLIT)) for
// each head, for each key head in attention_dkv; attention_cache one a row and head; attention_delta lanes of (row, head).
// forward, dq and dkv, of all forms, work on the rows first_row .. first_row + own_rows - 1 alone (queries; in dkv keys), which
// are the T of their numbers of groups: first_row is a multiple of a workgroup's rows, and own_rows where rows follow.
// attention_dkv_scores_wide, attention_dq_scores_wide, for software drivers: the backward pass of key heads first_kv .. first_kv +
// own_kv - 1 and their query heads (numbers of groups count these alone), in which dQ is one product. The first has binding 7 scores
// (f32 [own_kv heads / kv_heads, panels of SCORES_ROWS queries, SCORES_KEYS(rows), SCORES_ROWS]: gradients of scores), conversation and
// positions after it; the second bindings 1 starts, 2 keys (the K columns in strips, in PAIRS where dqkv is bf16: strips), 3
// scores, 4 dqkv, and constants from 4 on: ROWS, PART, WIDE, STEPS (attention_dq_scores_wide.comp); groups ceil(T / ROWS) for each
// strip of each head. Other kernels do not read first_kv and own_kv.
#define SCORES_ROWS 8u
#define SCORES_KEYS(rows) (((rows) + 15) / 16 * 16)
#define SCORES_PANEL(rows) (((rows) + SCORES_ROWS - 1) / SCORES_ROWS * SCORES_KEYS(rows) * SCORES_ROWS) // of one head
// attention_{forward,dq,dkv}_coopmat_{fp16,bf16}: matrix units; constants from 4 on: M, N, K, WAVES_M, WAVES_N, BLOCK, HOLD,
// PHASED (attention_coopmat.glsl); groups ceil(T / (M WAVES_M)) for each head or key head.
struct attention_args {
    uint rows, heads, kv_heads;
    uint ld_qkv, offset_q, offset_k, offset_v, ld_out, ld_lse;
    uint window, layer;
    float scale;
    uint first_row, own_rows, first_kv, own_kv;
};
// attention_cache: generation. Row t belongs to sequence slots[t] at position positions[t]; its keys are rows
// 0 .. positions[t] of that slot's cache. cache_k, cache_v: [slots * capacity, kv_heads D].
// Bindings 1 slots (uint [T]), 2 positions (uint [T]), 3 qkv (reads Q), 4 cache_k, 5 cache_v, 6 out.
// cache_append: copies the K and V columns of row t to row slots[t] * capacity + positions[t] of the caches.
// Groups from `rows` on copy for forks i < live.forks, FORK_GROUPS each: the first forks[3 i + 2] rows of slot forks[3 i] become
// those of slot forks[3 i + 1]. No row is appended that a fork reads or writes.
// Bindings 1 slots, 2 positions, 3 qkv, 4 cache_k, 5 cache_v, 6 forks (uint [3 * slots]).
#define FORK_GROUPS 4u
struct cache_args {
    uint rows, heads, kv_heads, head_dim;
    uint ld_qkv, offset_q, offset_k, offset_v, ld_out;
    uint ld_cache, capacity, window;
    float scale;
};

// ---- gated activation ------------------------------------------------------------------------------------------
// glu: out[t,f] = act(gate[t,f]) * up[t,f]; gate = gu[t, f], up = gu[t, columns + f] (one matrix, 2 F wide; F a multiple
// of 8). Bindings 1 gu [T, 2F], 2 out [T, F]. Constant 2 ACTIVATION.
// glu_backward: dgu from dout; bindings 1 gu, 2 dout, 3 dgu [T, 2F].
#define ACTIVATION_SILU 0u
#define ACTIVATION_GELU_TANH 1u
struct glu_args {
    uint rows, columns, ld_gu, ld_out;
    uint first_row; // all matrices are bound from this row on
};

// ---- rows ------------------------------------------------------------------------------------------------------
// gather_rows: out[i,:] = x[rows[i],:] for i < live.targets. Bindings 1 index (uint [T]: target_rows), 2 x, 3 out.
// scatter_rows: out[t,:] = index[t] == NO_TARGET ? 0 : x[index[t],:] for t < live.tokens. Bindings 1 index (uint [T]), 2 x, 3 out.
struct rows_args {
    uint rows, columns, ldx, ldo;
};
// fill: x[i] = value for words 0 .. count-1, when constant 2 is 0, or only if live.first when it is 1. Binding 1 x (uint).
struct fill_args {
    uint count, value;
};
// convert: to[i] = from[i], i < count (a multiple of 8), between storage types. Bindings 1 from, 2 to.
struct convert_args {
    uint count;
};

// ---- cross-entropy ---------------------------------------------------------------------------------------------
// cross_entropy: for chunk rows i (target first_row + i < live.targets): loss[first_row + i] = log sum exp(z) - z[target];
// hit[first_row + i] = 1 if the target is the arg max (smallest index among equals); constant 2 BACKWARD 1: z = (softmax(z)
// - onehot) * live.loss_scale in place. Bindings 1 targets (uint [T]), 2 z [rows, V], 3 loss (f32 [T]), 4 hit (uint [T]).
struct cross_entropy_args {
    uint rows, columns, ld, first_row;
};

// ---- dropout (Philox 4x32-10, Salmon et al. 2011) ----------------------------------------------------------------
// dropout: y = residual + x * mask / (1 - p), p = live.dropout; mask of element (t, c): word c % 4 of
// philox(counter = (conversation[t], positions[t], c / 4, layer * 16 + site), key = (seed_low ^ step, seed_high)) >= p 2^32.
// Constant 2 RESIDUAL. Bindings 1 conversation (uint [T]), 2 positions (uint [T]), 3 x, 4 residual (bound to x when
// unused), 5 y. Backward is the same kernel on the gradient, without residual. Attention's probability (h, t, s) uses word
// s' % 4 of counter (conversation, position of t, s' / 4, layer * 16 + 8 + 16 * 4096 * (h + 1)), s' = position of key s.
struct dropout_args {
    uint rows, columns, ldx, ldy, ld_residual, layer, site;
    uint first_row; // the matrices are bound from this row on; conversation and positions whole
};

// ---- optimizer ---------------------------------------------------------------------------------------------------
// The gradient arena (matrices f32 or bf16) is worked on in pieces of at most max_range bytes; all arenas have the same element offsets.
// sum_squares: partial[first_partial + b] = sum of (gradient_scale g)^2 over block b of `block` elements (a multiple of 4);
// bindings 1 g, 2 partial (f32). Any non-finite element makes its partial non-finite.
struct sum_squares_args {
    uint count, block, first_partial;
};
// norm_finish: one group; norm = sqrt(sum of partials in index order, pairwise); result = {norm, clip = max_norm > 0 ?
// min(1, max_norm / (norm + 1e-6)) : 1, skip = norm not finite (test on the bits)}. Bindings 1 partial, 2 result.
struct norm_args {
    uint count;
};
struct step_result {
    float norm, clip;
    uint skip, reserved;
};
// adamw (Loshchilov and Hutter 2019, PyTorch's order): g *= gradient_scale * clip; p -= lr wd p; m = b1 m + (1-b1) g;
// v = b2 v + (1-b2) g^2; p -= lr (m c1) / (sqrt(v c2) + epsilon), nothing contracted to fma; (1-b) is live.rest. Nothing changes when result.skip. decay 0: no weight
// decay. Constant 2 COPY 1: also writes the bf16 copy. Bindings 1 result, 2 g, 3 p, 4 m, 5 v (p, m, v f32), 6 copy (bf16 as
// uint pairs; an unused tensor without COPY).
// sgd: p -= lr (g + wd p). Bindings 1 result, 2 g, 3 p, 4 copy.
struct optimizer_args {
    uint count; // elements, a multiple of 8
    uint decay;
};

// ---- sampling -----------------------------------------------------------------------------------------------------
// sample: next tokens of each row i < live.targets of logits, for the draws draw_first[i] .. draw_first[i + 1) - 1: at
// temperature 0 the arg max (smallest index among equals); else from the softmax at that temperature over the top_k largest
// (0: all) and of those the smallest set whose sum reaches top_p. Draw d has word 0 of philox(counter = (draw_keys[2 d],
// positions[target_rows[i]], draw_keys[2 d + 1], 0), key = seed): it belongs to a place in a text, wherever in the batch it is
// made. With a limit the draw runs through the tokens from the largest logit on, without one through stripes of columns: first
// those with (column / 4) % SAMPLE_STRIPES 0, then 1, ... Bindings 1 logits [rows, V], 2 token (uint [draws]), 3 target_rows,
// 4 positions, 5 draw_first (uint [rows + 1]), 6 draw_keys (uint [2 draws]).
#define SAMPLE_STRIPES 256u
struct sample_args {
    uint rows, columns, ld;
};

// ---- checks of products on the device (graph/tune.h; no kernel of a model) ------------------------------------------
// All operands are of rank one and of whole numbers so small that every product and every sum is exact in f32, and every
// operand in fp16 and bf16: a product is right or wrong to the last bit, whatever the order of its sum. With the factors below
// A[m,k] = U(m) X(k), B = V(n) Y(k), so that the sum is U(m) V(n) S with S = sum_k X(k) Y(k), by the host; E and C before are
// E(m) E(n) and C(m) C(n), a bias E(0) E(n).
// probe_fill: x[r,c] = row_salt's factor of r times column_salt's of c, NaN from `columns` to ld. Binding 1 x.
// probe_compare: wrong[group] = elements of the group that differ. Bindings 1 x, 2 wrong (uint [groups]). Constants
// 2 EPILOGUE, 3 ADD (none or always).
#define PROBE_U 1u
#define PROBE_V 2u
#define PROBE_X 3u
#define PROBE_Y 4u
#define PROBE_E 5u
#define PROBE_C 6u
// One of -4 .. -1 and 1 .. 4, by the top bits of a hash of i.
#define PROBE_MIX(x) ((x) ^ (x) >> 15)
#define PROBE_HASH(i, salt) (PROBE_MIX(((i) * 8u + (salt)) * 0x9E3779B1u) * 0x85EBCA6Bu)
#define PROBE_BIT(i, salt, bit) ((PROBE_HASH(i, salt) >> (bit) & 1u) != 0u)
#define PROBE_SIZE(i, salt) (1 + (PROBE_BIT(i, salt, 30) ? 2 : 0) + (PROBE_BIT(i, salt, 29) ? 1 : 0))
#define PROBE_FACTOR(i, salt) (PROBE_BIT(i, salt, 31) ? -PROBE_SIZE(i, salt) : PROBE_SIZE(i, salt))
struct probe_args {
    uint rows, columns, ld;
    uint row_salt, column_salt; // of probe_fill
    float sum;                  // S, of probe_compare
};

// ---- peaks (graph/peaks.h; no kernel of a model) ------------------------------------------------------------------
// bench_fma, bench_fma16: count rounds of BENCH_FMAS multiply-adds x = x scale + shift in every lane; binding 1 sum (f32
// vec4 a lane). bench_stream: constant 2 COPY; bindings 1 from, 2 to (f32, count vec4; without COPY a vec4 a lane).
// bench_matrix_fp16, bench_matrix_bf16: count rounds of BENCH_MATRICES products of fragments M x K and K x N (constants 2 to 4,
// the device's shape) in every subgroup; binding 1 sum (f32, M N a subgroup).
#define BENCH_FMAS 96u
#define BENCH_MATRICES 16u
struct bench_args {
    uint count;
    float scale, shift;
};

#ifndef GL_core_profile
#undef uint
#endif
#endif
