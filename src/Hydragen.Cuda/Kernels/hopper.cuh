// Hopper's matrix and copy instructions (sm_90a). No toolkit headers.
#pragma once
#include "ptx.cuh"

#if OPERAND == BFLOAT16
#define ELEMENT "bf16"
#else
#define ELEMENT "f16"
#endif

// --- Barriers in shared memory, 8 bytes each; a phase ends when all arrivals and all announced bytes are there ---------------

DEVICE void barrier_init(u32 barrier, int num_arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(num_arrivals) : "memory");
}

// Makes initialised barriers visible to the copy engine.
DEVICE void barrier_init_fence() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

DEVICE void barrier_arrive(u32 barrier) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory"); }

DEVICE void barrier_arrive_expect(u32 barrier, int bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

// Waits for the end of the phase with this parity; before the first phase that of parity 1 counts as ended.
DEVICE void barrier_wait(u32 barrier, int parity)
{
    int is_done;
    do
    {
        asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; selp.b32 %0, 1, 0, p; }"
                     : "=r"(is_done)
                     : "r"(barrier), "r"(parity)
                     : "memory");
    } while (!is_done);
}

// Some warps of a block meet. name: 1 to 15.
DEVICE void named_barrier(int name, int num_threads) { asm volatile("bar.sync %0, %1;" ::"r"(name), "r"(num_threads) : "memory"); }

// The same for those that do not wait.
DEVICE void named_barrier_arrive(int name, int num_threads) { asm volatile("bar.arrive %0, %1;" ::"r"(name), "r"(num_threads) : "memory"); }

// --- Copies -----------------------------------------------------------------------------------------------------------------

// Copies bytes (a multiple of 16) to shared memory; the barrier counts them.
DEVICE void copy_bulk(u32 destination, const void* source, int bytes, u32 barrier)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];"
                 :
                 : "r"(destination), "l"(source), "r"(bytes), "r"(barrier)
                 : "memory");
}

// Orders this thread's ordinary writes to shared memory before what the matrix unit and the copy engine do later.
DEVICE void async_fence() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// A number that is the same in all lanes, where the compiler cannot see that.
DEVICE int uniform(int value) { return __shfl_sync(0xffffffff, value, 0); }

// --- Registers --------------------------------------------------------------------------------------------------------------

template <int COUNT>
DEVICE void release_registers() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(COUNT)); }

template <int COUNT>
DEVICE void claim_registers() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(COUNT)); }

// --- Matrix products of four warps ------------------------------------------------------------------------------------------

// Describes a matrix in shared memory whose rows of 128 bytes are swizzled in groups of 8 (1024 bytes).
struct Matrix
{
    u32 place;  // address and column stride in units of 16 bytes
};

// column_stride: bytes between blocks of 64 columns where the instruction goes over them. All lanes give the same.
DEVICE Matrix matrix_at(u32 address, int column_stride)
{
    Matrix result = {(u32)uniform((address & 0x3ffff) >> 4 | (u32)(column_stride >> 4) << 16)};
    return result;
}

// The operand so many bytes behind the matrix's start.
DEVICE u64 operand(Matrix matrix, int bytes) { return (u64)(1024 >> 4 | 1u << 30) << 32 | (matrix.place + (bytes >> 4)); }

DEVICE void products_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

DEVICE void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Waits until at most COUNT of the committed groups are under way.
template <int COUNT>
DEVICE void products_wait()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(COUNT) : "memory");
}

// Keeps the compiler from moving uses of sums across this point.
template <int TILES>
DEVICE void pin(float (&c)[TILES][4])
{
#pragma unroll
    for (int n = 0; n < TILES; n++) asm volatile("" : "+f"(c[n][0]), "+f"(c[n][1]), "+f"(c[n][2]), "+f"(c[n][3])::"memory");
}

#define TILE(c, n) "+f"(c[n][0]), "+f"(c[n][1]), "+f"(c[n][2]), "+f"(c[n][3])
#define TILES_8(c, n) \
    TILE(c, n), TILE(c, n + 1), TILE(c, n + 2), TILE(c, n + 3), TILE(c, n + 4), TILE(c, n + 5), TILE(c, n + 6), TILE(c, n + 7)
#define REGISTERS_32 \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}"
#define REGISTERS_64 \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}"
#define REGISTERS_128 \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, " \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, " \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, " \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}"

// c[64][8 * TILES] (+)= a[64][16] * b[8 * TILES][16]', both in shared memory, K-major.
DEVICE void multiply_shared(float (&c)[8][4], u64 a, u64 b, bool accumulates)
{
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %34, 0; "
                 "wgmma.mma_async.sync.aligned.m64n64k16.f32." ELEMENT "." ELEMENT " " REGISTERS_32 ", %32, %33, p, 1, 1, 0, 0; }"
                 : TILES_8(c, 0)
                 : "l"(a), "l"(b), "r"((int)accumulates));
}

DEVICE void multiply_shared(float (&c)[16][4], u64 a, u64 b, bool accumulates)
{
    asm volatile("{ .reg .pred p; setp.ne.b32 p, %66, 0; "
                 "wgmma.mma_async.sync.aligned.m64n128k16.f32." ELEMENT "." ELEMENT " " REGISTERS_64 ", %64, %65, p, 1, 1, 0, 0; }"
                 : TILES_8(c, 0), TILES_8(c, 8)
                 : "l"(a), "l"(b), "r"((int)accumulates));
}

// c[64][8 * TILES] += a[64][16] * b[16][8 * TILES], a in registers (lane l of warp w: rows 16 w + l / 4 and 8 below, as fragments of 16 x 8
// tiles side by side), b in shared memory with its columns contiguous.
DEVICE void multiply_registers(float (&c)[8][4], u32 a0, u32 a1, u32 a2, u32 a3, u64 b)
{
    asm volatile("wgmma.mma_async.sync.aligned.m64n64k16.f32." ELEMENT "." ELEMENT " " REGISTERS_32
                 ", {%32, %33, %34, %35}, %36, 1, 1, 1, 1;"
                 : TILES_8(c, 0)
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(b));
}

DEVICE void multiply_registers(float (&c)[16][4], u32 a0, u32 a1, u32 a2, u32 a3, u64 b)
{
    asm volatile("wgmma.mma_async.sync.aligned.m64n128k16.f32." ELEMENT "." ELEMENT " " REGISTERS_64
                 ", {%64, %65, %66, %67}, %68, 1, 1, 1, 1;"
                 : TILES_8(c, 0), TILES_8(c, 8)
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(b));
}

DEVICE void multiply_registers(float (&c)[32][4], u32 a0, u32 a1, u32 a2, u32 a3, u64 b)
{
    asm volatile("wgmma.mma_async.sync.aligned.m64n256k16.f32." ELEMENT "." ELEMENT " " REGISTERS_128
                 ", {%128, %129, %130, %131}, %132, 1, 1, 1, 1;"
                 : TILES_8(c, 0), TILES_8(c, 8), TILES_8(c, 16), TILES_8(c, 24)
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(b));
}
