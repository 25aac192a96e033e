using System.Runtime.CompilerServices;

namespace Hydragen.Cpu;

/// <summary>What a tile does with the numbers that stand where its sums go.</summary>
internal enum TileMode
{
    /// <summary>Overwrites them.</summary>
    Replace,

    /// <summary>Takes them as the start of its chain of additions.</summary>
    Continue,

    /// <summary>Sums from zero and adds the result to them: shorter chains, so less rounding error.</summary>
    Add,
}

/// <summary>
/// The one matrix micro-kernel behind scores, weighted values and linear layers:
/// <c>c[r, n] (+)= Σ_k a[r, k] · b[k, n]</c>. Columns come in strips of <see cref="TileShape.StripWidth"/>. The sum over k is one chain of
/// fused multiply-adds in order of k, whatever the tile, so an element never depends on its neighbours.
/// </summary>
/// <typeparam name="S">Vector operations.</typeparam>
/// <typeparam name="V">Vector.</typeparam>
/// <typeparam name="T">How b is stored.</typeparam>
internal static unsafe class Tile<S, V, T>
    where S : struct, ISimd<V>
    where V : struct
    where T : struct, IStorage
{
    /// <summary>Computes any number of rows and strips.</summary>
    /// <param name="numRows">Rows of a and c.</param>
    /// <param name="numStrips">Strips of b and c.</param>
    /// <param name="a">FP32 <c>[numRows, depth]</c>, rows <paramref name="aStride"/> apart.</param>
    /// <param name="aStride">Elements.</param>
    /// <param name="b">Strips of <c>[depth, 16]</c>, rows <paramref name="bStride"/> and strips <paramref name="stripStride"/> apart.</param>
    /// <param name="bStride">Elements.</param>
    /// <param name="stripStride">Elements.</param>
    /// <param name="c">FP32 <c>[numRows, 16 · numStrips]</c>, rows <paramref name="cStride"/> apart.</param>
    /// <param name="cStride">Elements.</param>
    /// <param name="depth">Length of the sum.</param>
    /// <param name="mode">What becomes of the content of c.</param>
    /// <param name="ahead">Bytes from what is read of b to what is worth fetching meanwhile; 0 for nothing.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Multiply(
        int numRows, int numStrips, float* a, nint aStride, byte* b, nint bStride, nint stripStride,
        float* c, nint cStride, nint depth, TileMode mode, nint ahead)
    {
        int strip = 0;
        if (S.Lanes == TileShape.StripWidth)
        {
            for (; strip + 4 <= numStrips; strip += 4)
            {
                Rows<Columns4<S, V>>(numRows, a, aStride, b + strip * stripStride * T.Size, bStride, stripStride,
                    c + strip * TileShape.StripWidth, cStride, depth, mode, ahead);
            }
            for (; strip + 2 <= numStrips; strip += 2)
            {
                Rows<Columns2<S, V>>(numRows, a, aStride, b + strip * stripStride * T.Size, bStride, stripStride,
                    c + strip * TileShape.StripWidth, cStride, depth, mode, ahead);
            }
        }
        for (; strip < numStrips; strip++)
        {
            byte* bStrip = b + strip * stripStride * T.Size;
            float* cStrip = c + strip * TileShape.StripWidth;
            if (S.Lanes == TileShape.StripWidth) Rows<Columns1<S, V>>(numRows, a, aStride, bStrip, bStride, S.Lanes, cStrip, cStride, depth, mode, ahead);
            else if (S.Lanes * 2 == TileShape.StripWidth) Rows<Columns2<S, V>>(numRows, a, aStride, bStrip, bStride, S.Lanes, cStrip, cStride, depth, mode, ahead);
            else Rows<Columns4<S, V>>(numRows, a, aStride, bStrip, bStride, S.Lanes, cStrip, cStride, depth, mode, ahead);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Rows<C>(
        int numRows, float* a, nint aStride, byte* b, nint bStride, nint vectorStride, float* c, nint cStride, nint depth, TileMode mode, nint ahead)
        where C : struct, IColumns<C, S, V>
    {
        for (; numRows >= 6; numRows -= 6, a += 6 * aStride, c += 6 * cStride)
            Rows6<C>(a, aStride, b, bStride, vectorStride, c, cStride, depth, mode, ahead);
        if (numRows >= 4)
        {
            Rows4<C>(a, aStride, b, bStride, vectorStride, c, cStride, depth, mode, ahead);
            numRows -= 4;
            a += 4 * aStride;
            c += 4 * cStride;
        }
        if (numRows >= 2)
        {
            Rows2<C>(a, aStride, b, bStride, vectorStride, c, cStride, depth, mode, ahead);
            numRows -= 2;
            a += 2 * aStride;
            c += 2 * cStride;
        }
        if (numRows >= 1) Rows1<C>(a, b, bStride, vectorStride, c, depth, mode, ahead);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Rows6<C>(
        float* a, nint aStride, byte* b, nint bStride, nint vectorStride, float* c, nint cStride, nint depth, TileMode mode, nint ahead)
        where C : struct, IColumns<C, S, V>
    {
        C c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default;
        if (mode == TileMode.Continue)
        {
            c0 = C.Load(c);
            c1 = C.Load(c + cStride);
            c2 = C.Load(c + 2 * cStride);
            c3 = C.Load(c + 3 * cStride);
            c4 = C.Load(c + 4 * cStride);
            c5 = C.Load(c + 5 * cStride);
        }
        float* a3 = a + 3 * aStride;
        float* end = a + depth;
        for (; a < end; a++, a3++, b += bStride * T.Size)
        {
            C.Prefetch<T>(b + ahead, vectorStride);
            C columns = C.Load<T>(b, vectorStride);
            c0 = C.MultiplyAdd(S.Broadcast(*a), columns, c0);
            c1 = C.MultiplyAdd(S.Broadcast(a[aStride]), columns, c1);
            c2 = C.MultiplyAdd(S.Broadcast(a[2 * aStride]), columns, c2);
            c3 = C.MultiplyAdd(S.Broadcast(*a3), columns, c3);
            c4 = C.MultiplyAdd(S.Broadcast(a3[aStride]), columns, c4);
            c5 = C.MultiplyAdd(S.Broadcast(a3[2 * aStride]), columns, c5);
        }
        if (mode == TileMode.Add)
        {
            c0 = C.Add(C.Load(c), c0);
            c1 = C.Add(C.Load(c + cStride), c1);
            c2 = C.Add(C.Load(c + 2 * cStride), c2);
            c3 = C.Add(C.Load(c + 3 * cStride), c3);
            c4 = C.Add(C.Load(c + 4 * cStride), c4);
            c5 = C.Add(C.Load(c + 5 * cStride), c5);
        }
        C.Store(c, c0);
        C.Store(c + cStride, c1);
        C.Store(c + 2 * cStride, c2);
        C.Store(c + 3 * cStride, c3);
        C.Store(c + 4 * cStride, c4);
        C.Store(c + 5 * cStride, c5);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Rows4<C>(
        float* a, nint aStride, byte* b, nint bStride, nint vectorStride, float* c, nint cStride, nint depth, TileMode mode, nint ahead)
        where C : struct, IColumns<C, S, V>
    {
        C c0 = default, c1 = default, c2 = default, c3 = default;
        if (mode == TileMode.Continue)
        {
            c0 = C.Load(c);
            c1 = C.Load(c + cStride);
            c2 = C.Load(c + 2 * cStride);
            c3 = C.Load(c + 3 * cStride);
        }
        float* a2 = a + 2 * aStride;
        float* end = a + depth;
        for (; a < end; a++, a2++, b += bStride * T.Size)
        {
            C.Prefetch<T>(b + ahead, vectorStride);
            C columns = C.Load<T>(b, vectorStride);
            c0 = C.MultiplyAdd(S.Broadcast(*a), columns, c0);
            c1 = C.MultiplyAdd(S.Broadcast(a[aStride]), columns, c1);
            c2 = C.MultiplyAdd(S.Broadcast(*a2), columns, c2);
            c3 = C.MultiplyAdd(S.Broadcast(a2[aStride]), columns, c3);
        }
        if (mode == TileMode.Add)
        {
            c0 = C.Add(C.Load(c), c0);
            c1 = C.Add(C.Load(c + cStride), c1);
            c2 = C.Add(C.Load(c + 2 * cStride), c2);
            c3 = C.Add(C.Load(c + 3 * cStride), c3);
        }
        C.Store(c, c0);
        C.Store(c + cStride, c1);
        C.Store(c + 2 * cStride, c2);
        C.Store(c + 3 * cStride, c3);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Rows2<C>(
        float* a, nint aStride, byte* b, nint bStride, nint vectorStride, float* c, nint cStride, nint depth, TileMode mode, nint ahead)
        where C : struct, IColumns<C, S, V>
    {
        C c0 = default, c1 = default;
        if (mode == TileMode.Continue)
        {
            c0 = C.Load(c);
            c1 = C.Load(c + cStride);
        }
        float* end = a + depth;
        for (; a < end; a++, b += bStride * T.Size)
        {
            C.Prefetch<T>(b + ahead, vectorStride);
            C columns = C.Load<T>(b, vectorStride);
            c0 = C.MultiplyAdd(S.Broadcast(*a), columns, c0);
            c1 = C.MultiplyAdd(S.Broadcast(a[aStride]), columns, c1);
        }
        if (mode == TileMode.Add)
        {
            c0 = C.Add(C.Load(c), c0);
            c1 = C.Add(C.Load(c + cStride), c1);
        }
        C.Store(c, c0);
        C.Store(c + cStride, c1);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Rows1<C>(
        float* a, byte* b, nint bStride, nint vectorStride, float* c, nint depth, TileMode mode, nint ahead)
        where C : struct, IColumns<C, S, V>
    {
        C c0 = default;
        if (mode == TileMode.Continue) c0 = C.Load(c);
        float* end = a + depth;
        for (; a < end; a++, b += bStride * T.Size)
        {
            C.Prefetch<T>(b + ahead, vectorStride);
            c0 = C.MultiplyAdd(S.Broadcast(*a), C.Load<T>(b, vectorStride), c0);
        }
        if (mode == TileMode.Add) c0 = C.Add(C.Load(c), c0);
        C.Store(c, c0);
    }
}
