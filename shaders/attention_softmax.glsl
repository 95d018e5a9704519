// SPDX-License-Identifier: MIT
//
// attention_softmax.glsl: a query row's attention over streamed keys, block by block under a maximum that is corrected as
// it grows. For attention_forward and attention_cache.
vec4 q[HELD], sum[HELD];
float p[BLOCK];
float most = LOWEST, weight = 0, fade;
float all = 0; // the scores' sum: not finite when one of them is not, which maxima and clamps may hide
bool seen[BLOCK];

void score(uint i, vec4 k[BLOCK])
{
    for (uint j = 0; j < BLOCK; j++) p[j] = sum_products(p[j], q[i], k[j]);
}

// Scores to weights under the new maximum; earlier sums fade by exp(old maximum - new maximum).
void soften()
{
    float top = most;
    for (uint j = 0; j < BLOCK; j++) {
        top = seen[j] ? max(top, p[j]) : top;
        all += seen[j] ? p[j] : 0;
    }
    fade = exp(max(most - top, -100.0));
    weight *= fade;
    most = top;
    for (uint j = 0; j < BLOCK; j++) {
        p[j] = seen[j] ? exp(max(p[j] - top, -100.0)) : 0;
        weight += p[j];
    }
}

void gather(uint i, vec4 v[BLOCK])
{
    vec4 s = sum[i] * fade;
    for (uint j = 0; j < BLOCK; j++) s += seen[j] ? p[j] * v[j] : vec4(0);
    sum[i] = s;
}

void gather_all(uint i, vec4 v[BLOCK]) // where every key is seen
{
    vec4 s = sum[i] * fade;
    for (uint j = 0; j < BLOCK; j++) s += p[j] * v[j];
    sum[i] = s;
}
