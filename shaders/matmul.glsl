// SPDX-License-Identifier: MIT
//
// matmul.glsl: what the kernels of the matrix product share: constants 2 to 6, arguments, operands (args.h), and what
// happens to an element's finished sum.
layout(constant_id = 2) const uint LAYOUT = LAYOUT_NT;
layout(constant_id = 3) const uint LIVE_M = LIVE_NONE;
layout(constant_id = 4) const uint LIVE_K = LIVE_NONE;
layout(constant_id = 5) const uint ADD = ADD_NONE;
layout(constant_id = 6) const uint EPILOGUE = EPILOGUE_NONE;
layout(push_constant) uniform Push {
    matmul_args args;
};
TENSOR_IN(1, a)
TENSOR_IN(2, b)
TENSOR(3, c)
TENSOR_IN(4, e)

// Scales the sums of row m and of the four columns that begin at column 4 n4, adds what is to be added, and stores them.
// `cut`: the columns may be no multiple of four.
void finish(uint m, uint n4, vec4 sum, bool cut)
{
    sum *= args.scale;
    uint at = (args.offset_c + m * args.ldc) / 4 + n4;
    if (EPILOGUE == EPILOGUE_RESIDUAL) sum += LOAD4(e, 4, (args.offset_e + m * args.lde) / 4 + n4);
    if (EPILOGUE == EPILOGUE_BIAS) sum += LOAD4(e, 4, args.offset_e / 4 + n4);
    if (ADD == ADD_ALWAYS || (ADD == ADD_UNLESS_FIRST && live.first == 0)) sum += LOAD4(c, 3, at);
    if (cut) STORE4_CUT(c, 3, at, sum, 4 * n4, args.n);
    else STORE4(c, 3, at, sum);
}
