// Instructions that CUDA C++ has no operator for, and conversions between FP32 and 16-bit patterns. No toolkit headers.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define DEVICE __device__ __forceinline__

// The dynamic shared memory of the block.
extern __shared__ __align__(1024) u8 shared_memory[];

DEVICE u32 shared_address(const void* pointer)
{
    u64 address;
    asm("cvta.to.shared.u64 %0, %1;" : "=l"(address) : "l"(pointer));
    return (u32)address;
}

// Copies 16 bytes to shared memory in the background; zeros when not valid.
DEVICE void copy_async(u32 destination, const void* source, bool is_valid)
{
    int size = is_valid ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(destination), "l"(source), "r"(size) : "memory");
}

DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most COUNT of the groups that this thread committed are under way.
template <int COUNT>
DEVICE void copy_wait()
{
    asm volatile("cp.async.wait_group %0;" ::"n"(COUNT) : "memory");
}

// 16 bytes of shared memory, in instructions that need a register for the address.
DEVICE uint4 load_shared(u32 address)
{
    uint4 result;
    asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];" : "=r"(result.x), "=r"(result.y), "=r"(result.z), "=r"(result.w) : "r"(address) : "memory");
    return result;
}

DEVICE void store_shared(u32 address, uint4 value)
{
    asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(address), "r"(value.x), "r"(value.y), "r"(value.z), "r"(value.w) : "memory");
}

// Four 8 x 8 matrices of 16-bit elements. Lane l gives the address of row l % 8 of matrix l / 8 and receives, of each matrix, the
// elements [l / 4][2 * (l % 4)] and [l / 4][2 * (l % 4) + 1].
DEVICE void load_matrices(u32 (&result)[4], u32 address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(result[0]), "=r"(result[1]), "=r"(result[2]), "=r"(result[3])
                 : "r"(address)
                 : "memory");
}

// The same, transposed: lane l receives [2 * (l % 4)][l / 4] and [2 * (l % 4) + 1][l / 4].
DEVICE void load_matrices_transposed(u32 (&result)[4], u32 address)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(result[0]), "=r"(result[1]), "=r"(result[2]), "=r"(result[3])
                 : "r"(address)
                 : "memory");
}

// Transposes an 8 x 8 matrix that lies in the registers of a warp.
DEVICE u32 transpose_matrix(u32 fragment)
{
    u32 result;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(fragment));
    return result;
}

// c[16][8] += a[16][16] * b[16][8], FP32 sums. Lane l holds c[l / 4 (+ 8)][2 * (l % 4) (+ 1)].
DEVICE void multiply_add(float (&c)[4], const u32 (&a)[4], u32 b0, u32 b1)
{
#if OPERAND == BFLOAT16
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#endif
}

// 2^x, at most 2 units in the last place off; 2^-infinity = 0.
DEVICE float exp2_approx(float x)
{
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

// 1 / x, at most 1 unit in the last place off, also where that is subnormal.
DEVICE float reciprocal_approx(float x)
{
    float result;
    asm("rcp.approx.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

// log2 x, within 2^-22.
DEVICE float log2_approx(float x)
{
    float result;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

// a * b, rounded by itself: never the first half of a fused multiply-add, so equal products stay equal.
DEVICE float multiply_rounded(float a, float b) { return __fmul_rn(a, b); }

DEVICE float shuffle_xor(float value, int mask)
{
    float result;
    asm volatile("shfl.sync.bfly.b32 %0, %1, %2, 31, 0xffffffff;" : "=f"(result) : "f"(value), "r"(mask));
    return result;
}

DEVICE float shuffle_from(float value, int lane)
{
    float result;
    asm volatile("shfl.sync.idx.b32 %0, %1, %2, 31, 0xffffffff;" : "=f"(result) : "f"(value), "r"(lane));
    return result;
}

// The smallest, the largest of all lanes' numbers.
DEVICE int warp_min(int value) { return __reduce_min_sync(0xffffffff, value); }

DEVICE int warp_max(int value) { return __reduce_max_sync(0xffffffff, value); }

// Whether any lane says so.
DEVICE bool warp_any(bool value) { return __any_sync(0xffffffff, value); }

// Lets the next kernel of the stream start once all blocks have said so; it must be launched for that.
DEVICE void launch_dependents()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Waits for the end of the kernel before, and for what it wrote, where this kernel was launched to start early.
DEVICE void wait_for_dependency()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// What a kernel that may be launched to start early calls in every block, also in those with nothing to do, before it touches anything that
// another kernel writes or reads. The next kernel starts early only behind this, so all but the kernel just before it is done by then.
DEVICE void take_turn()
{
    wait_for_dependency();
    launch_dependents();
}

DEVICE void warp_barrier() { asm volatile("bar.warp.sync 0xffffffff;" ::: "memory"); }

DEVICE float float_from_bits(u32 bits) { return __uint_as_float(bits); }

// Two FP32 numbers, rounded to nearest even: low in the lower half.
DEVICE u32 pack_bfloat16(float low, float high)
{
    u32 result;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
    return result;
}

DEVICE u32 pack_float16(float low, float high)
{
    u32 result;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
    return result;
}

DEVICE float widen_float16(u16 bits)
{
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(bits));
    return result;
}
