using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Hydragen.Cpu;

/// <summary>The register tile over INT8 quads in vectors that .NET has intrinsics for: four rows, or one, of two vectors of sums.</summary>
/// <typeparam name="D">Dot products.</typeparam>
/// <typeparam name="V">Vector.</typeparam>
internal sealed unsafe class VectorQuadTile<D, V> : RegisterTile
    where D : struct, IQuadDot<V>
    where V : unmanaged
{
    public override int MaxRows => 4;

    public override void Multiply(int numRows, int numStrips, ref TileArguments arguments)
    {
        nint numQuads = arguments.Depth / QuadKernel.QuadSize, aStride = arguments.AStrideBytes, cStride = arguments.CStrideBytes;
        bool adds = arguments.Adds != 0;
        for (int strip = 0; strip < numStrips; strip++)
        {
            byte* b = arguments.B + strip * arguments.StripStrideBytes;
            byte* ahead = (strip % 2 == 0 ? arguments.FirstAhead : arguments.SecondAhead) + strip / 2 * arguments.AheadStrideBytes;
            for (int column = 0; column < TileShape.StripWidth; column += 2 * sizeof(V) / sizeof(int))
            {
                byte* c = (byte*)arguments.C + (strip * TileShape.StripWidth + column) * sizeof(int);
                byte* columns = b + column * QuadKernel.QuadSize;
                if (numRows == 4)
                {
                    Rows4(arguments.A, aStride, columns, ahead, c, cStride, numQuads, adds);
                    continue;
                }
                for (int row = 0; row < numRows; row++) Row(arguments.A + row * aStride, columns, ahead, c + row * cStride, numQuads, adds);
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Rows4(byte* a, nint aStride, byte* b, byte* ahead, byte* c, nint cStride, nint numQuads, bool adds)
    {
        V s00 = default, s01 = default, s10 = default, s11 = default, s20 = default, s21 = default, s30 = default, s31 = default;
        byte* a2 = a + 2 * aStride;
        byte* end = a + numQuads * QuadKernel.QuadSize;
        for (; a < end; a += QuadKernel.QuadSize, a2 += QuadKernel.QuadSize, b += GroupRowBytes, ahead += GroupRowBytes)
        {
            Prefetch(ahead);
            V first = Load(b), second = Load(b + sizeof(V));
            V row = D.Broadcast(*(int*)a);
            s00 = D.DotAdd(s00, row, first);
            s01 = D.DotAdd(s01, row, second);
            row = D.Broadcast(*(int*)(a + aStride));
            s10 = D.DotAdd(s10, row, first);
            s11 = D.DotAdd(s11, row, second);
            row = D.Broadcast(*(int*)a2);
            s20 = D.DotAdd(s20, row, first);
            s21 = D.DotAdd(s21, row, second);
            row = D.Broadcast(*(int*)(a2 + aStride));
            s30 = D.DotAdd(s30, row, first);
            s31 = D.DotAdd(s31, row, second);
        }
        Finish(c, s00, s01, adds);
        Finish(c + cStride, s10, s11, adds);
        Finish(c + 2 * cStride, s20, s21, adds);
        Finish(c + 3 * cStride, s30, s31, adds);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Row(byte* a, byte* b, byte* ahead, byte* c, nint numQuads, bool adds)
    {
        V s0 = default, s1 = default;
        byte* end = a + numQuads * QuadKernel.QuadSize;
        for (; a < end; a += QuadKernel.QuadSize, b += GroupRowBytes, ahead += GroupRowBytes)
        {
            Prefetch(ahead);
            V row = D.Broadcast(*(int*)a);
            s0 = D.DotAdd(s0, row, Load(b));
            s1 = D.DotAdd(s1, row, Load(b + sizeof(V)));
        }
        Finish(c, s0, s1, adds);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish(byte* c, V first, V second, bool adds)
    {
        byte* next = c + sizeof(V);
        Unsafe.WriteUnaligned(c, adds ? D.Add(Load(c), first) : first);
        Unsafe.WriteUnaligned(next, adds ? D.Add(Load(next), second) : second);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static V Load(byte* source) => Unsafe.ReadUnaligned<V>(source);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Prefetch(byte* address)
    {
        if (Sse.IsSupported) Sse.Prefetch0(address);
    }
}
