using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Hydragen.Cpu;

/// <summary>Dot products of INT8 quads, added to INT32 lanes; exact modulo 2^32.</summary>
/// <typeparam name="V">The vector of INT32 lanes.</typeparam>
internal interface IQuadDot<V>
    where V : unmanaged
{
    /// <summary>Repeats a quad in all lanes.</summary>
    static abstract V Broadcast(int quad);

    static abstract V Add(V left, V right);

    /// <summary>In each lane, sum + Σ row[i] · weights[i] over its four bytes.</summary>
    static abstract V DotAdd(V sums, V row, V weights);
}

/// <summary>AVX-VNNI: unsigned bytes in the rows, one instruction for 32 products.</summary>
internal readonly struct VnniQuadDot : IQuadDot<Vector256<int>>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Broadcast(int quad) => Vector256.Create(quad);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Add(Vector256<int> left, Vector256<int> right) => left + right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> DotAdd(Vector256<int> sums, Vector256<int> row, Vector256<int> weights) =>
        AvxVnni.MultiplyWideningAndAdd(sums, row.AsByte(), weights.AsSByte());
}

/// <summary>
/// AVX2: <c>vpmaddubsw</c> takes unsigned times signed bytes, so the sign of the row goes to the weights. Sums of two products stay
/// within 2 · 127², which 16 bits hold.
/// </summary>
internal readonly struct Avx2QuadDot : IQuadDot<Vector256<int>>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Broadcast(int quad) => Vector256.Create(quad);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> Add(Vector256<int> left, Vector256<int> right) => left + right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector256<int> DotAdd(Vector256<int> sums, Vector256<int> row, Vector256<int> weights)
    {
        Vector256<short> pairs = Avx2.MultiplyAddAdjacent(Avx2.Abs(row.AsSByte()), Avx2.Sign(weights.AsSByte(), row.AsSByte()));
        return sums + Avx2.MultiplyAddAdjacent(pairs, Vector256<short>.One);
    }
}

/// <summary>128 bits: one instruction for 16 products where Arm64 has dot products, 16-bit products elsewhere.</summary>
internal readonly struct PortableQuadDot : IQuadDot<Vector128<int>>
{
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Broadcast(int quad) => Vector128.Create(quad);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> Add(Vector128<int> left, Vector128<int> right) => left + right;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector128<int> DotAdd(Vector128<int> sums, Vector128<int> row, Vector128<int> weights)
    {
        if (Dp.IsSupported) return Dp.DotProduct(sums, row.AsSByte(), weights.AsSByte());
        // The even bytes of each quad, then the odd ones, as 16-bit lanes; a sum of two products stays within 2 · 127².
        Vector128<short> even = (row.AsInt16() << 8 >> 8) * (weights.AsInt16() << 8 >> 8);
        Vector128<short> odd = (row.AsInt16() >> 8) * (weights.AsInt16() >> 8);
        Vector128<int> pairs = (even + odd).AsInt32();
        return sums + (pairs << 16 >> 16) + (pairs >> 16);
    }
}
