using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Hydragen.Cli.Bench;

/// <summary>Loops that do one thing only, as fast as one core can. Results are returned so that nothing can be left out.</summary>
internal abstract class ProbeKernels
{
    /// <summary>Independent sums of the arithmetic probes: enough to hide the latency, few enough for 16 registers.</summary>
    public const int NumSums = 14;

    /// <summary>Streams of <see cref="ReadStreams"/>.</summary>
    public const int NumStreams = 4;

    /// <summary>FP32 elements that <see cref="MultiplyAddFromMemory"/> reads: half of a small first-level cache.</summary>
    public const int FedElements = 4096;

    /// <summary>The loops for the widest vectors of this processor.</summary>
    public static ProbeKernels Best { get; } =
        Avx512F.IsSupported ? new ProbeKernels<Lanes512, Vector512<float>>()
        : Vector256.IsHardwareAccelerated ? new ProbeKernels<Lanes256, Vector256<float>>()
        : new ProbeKernels<Lanes128, Vector128<float>>();

    /// <summary>FP32 lanes of a vector.</summary>
    public abstract int NumLanes { get; }

    /// <summary>Multiply-adds on registers: <see cref="NumSums"/> vectors a round.</summary>
    public abstract float MultiplyAdd(long numRounds);

    /// <summary>The same with one operand of each from memory.</summary>
    /// <param name="operands">At least <see cref="FedElements"/> elements, small ones.</param>
    /// <param name="numRounds">Rounds.</param>
    public abstract float MultiplyAddFromMemory(ReadOnlySpan<float> operands, long numRounds);

    /// <summary>Reads everything once, front to back.</summary>
    public abstract float Read(ReadOnlySpan<float> source);

    /// <summary>Reads everything once, as <see cref="NumStreams"/> streams side by side.</summary>
    public abstract float ReadStreams(ReadOnlySpan<float> source);
}

/// <summary>The loops for one vector width.</summary>
internal sealed class ProbeKernels<TLanes, TVector> : ProbeKernels
    where TLanes : struct, ILanes<TVector>
    where TVector : struct
{
    // Sums stay near addend / (1 − factor): no overflow, no denormals.
    private const float Factor = 0.5f;

    public override int NumLanes => TLanes.Count;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override float MultiplyAdd(long numRounds)
    {
        TVector factor = TLanes.Create(Factor), addend = TLanes.Create(1);
        TVector s0 = addend, s1 = addend, s2 = addend, s3 = addend, s4 = addend, s5 = addend, s6 = addend;
        TVector s7 = addend, s8 = addend, s9 = addend, s10 = addend, s11 = addend, s12 = addend, s13 = addend;
        for (long round = 0; round < numRounds; round++)
        {
            s0 = TLanes.MultiplyAdd(s0, factor, addend);
            s1 = TLanes.MultiplyAdd(s1, factor, addend);
            s2 = TLanes.MultiplyAdd(s2, factor, addend);
            s3 = TLanes.MultiplyAdd(s3, factor, addend);
            s4 = TLanes.MultiplyAdd(s4, factor, addend);
            s5 = TLanes.MultiplyAdd(s5, factor, addend);
            s6 = TLanes.MultiplyAdd(s6, factor, addend);
            s7 = TLanes.MultiplyAdd(s7, factor, addend);
            s8 = TLanes.MultiplyAdd(s8, factor, addend);
            s9 = TLanes.MultiplyAdd(s9, factor, addend);
            s10 = TLanes.MultiplyAdd(s10, factor, addend);
            s11 = TLanes.MultiplyAdd(s11, factor, addend);
            s12 = TLanes.MultiplyAdd(s12, factor, addend);
            s13 = TLanes.MultiplyAdd(s13, factor, addend);
        }
        return Sum(s0, s1, s2, s3) + Sum(s4, s5, s6, s7) + Sum(s8, s9, s10, s11) + Sum(s12, s13, s12, s13);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override float MultiplyAddFromMemory(ReadOnlySpan<float> operands, long numRounds)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(operands.Length, FedElements, nameof(operands));
        ref float source = ref MemoryMarshal.GetReference(operands);
        nuint step = (nuint)TLanes.Count, end = FedElements / (step * NumSums) * step * NumSums, at = 0;
        TVector factor = TLanes.Create(Factor);
        TVector s0 = factor, s1 = factor, s2 = factor, s3 = factor, s4 = factor, s5 = factor, s6 = factor;
        TVector s7 = factor, s8 = factor, s9 = factor, s10 = factor, s11 = factor, s12 = factor, s13 = factor;
        for (long round = 0; round < numRounds; round++)
        {
            s0 = TLanes.MultiplyAdd(s0, factor, TLanes.Load(ref source, at));
            s1 = TLanes.MultiplyAdd(s1, factor, TLanes.Load(ref source, at + step));
            s2 = TLanes.MultiplyAdd(s2, factor, TLanes.Load(ref source, at + step * 2));
            s3 = TLanes.MultiplyAdd(s3, factor, TLanes.Load(ref source, at + step * 3));
            s4 = TLanes.MultiplyAdd(s4, factor, TLanes.Load(ref source, at + step * 4));
            s5 = TLanes.MultiplyAdd(s5, factor, TLanes.Load(ref source, at + step * 5));
            s6 = TLanes.MultiplyAdd(s6, factor, TLanes.Load(ref source, at + step * 6));
            s7 = TLanes.MultiplyAdd(s7, factor, TLanes.Load(ref source, at + step * 7));
            s8 = TLanes.MultiplyAdd(s8, factor, TLanes.Load(ref source, at + step * 8));
            s9 = TLanes.MultiplyAdd(s9, factor, TLanes.Load(ref source, at + step * 9));
            s10 = TLanes.MultiplyAdd(s10, factor, TLanes.Load(ref source, at + step * 10));
            s11 = TLanes.MultiplyAdd(s11, factor, TLanes.Load(ref source, at + step * 11));
            s12 = TLanes.MultiplyAdd(s12, factor, TLanes.Load(ref source, at + step * 12));
            s13 = TLanes.MultiplyAdd(s13, factor, TLanes.Load(ref source, at + step * 13));
            at += step * NumSums;
            if (at == end) at = 0;
        }
        return Sum(s0, s1, s2, s3) + Sum(s4, s5, s6, s7) + Sum(s8, s9, s10, s11) + Sum(s12, s13, s12, s13);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override float Read(ReadOnlySpan<float> source)
    {
        ref float first = ref MemoryMarshal.GetReference(source);
        nuint step = (nuint)TLanes.Count, end = (nuint)source.Length / (step * 8) * step * 8;
        TVector s0 = default, s1 = default, s2 = default, s3 = default;
        for (nuint at = 0; at < end; at += step * 8)
        {
            s0 = TLanes.Add(s0, TLanes.Load(ref first, at));
            s1 = TLanes.Add(s1, TLanes.Load(ref first, at + step));
            s2 = TLanes.Add(s2, TLanes.Load(ref first, at + step * 2));
            s3 = TLanes.Add(s3, TLanes.Load(ref first, at + step * 3));
            s0 = TLanes.Add(s0, TLanes.Load(ref first, at + step * 4));
            s1 = TLanes.Add(s1, TLanes.Load(ref first, at + step * 5));
            s2 = TLanes.Add(s2, TLanes.Load(ref first, at + step * 6));
            s3 = TLanes.Add(s3, TLanes.Load(ref first, at + step * 7));
        }
        return Sum(s0, s1, s2, s3);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override float ReadStreams(ReadOnlySpan<float> source)
    {
        int length = source.Length / NumStreams;
        ref float first = ref MemoryMarshal.GetReference(source);
        ref float second = ref Unsafe.Add(ref first, length);
        ref float third = ref Unsafe.Add(ref first, length * 2);
        ref float fourth = ref Unsafe.Add(ref first, length * 3);
        nuint step = (nuint)TLanes.Count, end = (nuint)length / (step * 4) * step * 4;
        TVector s0 = default, s1 = default, s2 = default, s3 = default;
        for (nuint at = 0; at < end; at += step * 2)
        {
            s0 = TLanes.Add(s0, TLanes.Add(TLanes.Load(ref first, at), TLanes.Load(ref first, at + step)));
            s1 = TLanes.Add(s1, TLanes.Add(TLanes.Load(ref second, at), TLanes.Load(ref second, at + step)));
            s2 = TLanes.Add(s2, TLanes.Add(TLanes.Load(ref third, at), TLanes.Load(ref third, at + step)));
            s3 = TLanes.Add(s3, TLanes.Add(TLanes.Load(ref fourth, at), TLanes.Load(ref fourth, at + step)));
        }
        return Sum(s0, s1, s2, s3);
    }

    private static float Sum(TVector a, TVector b, TVector c, TVector d) =>
        TLanes.Sum(TLanes.Add(TLanes.Add(a, b), TLanes.Add(c, d)));
}
