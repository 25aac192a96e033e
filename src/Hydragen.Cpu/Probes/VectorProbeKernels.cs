using System.Runtime.CompilerServices;

namespace Hydragen.Cpu;

/// <summary>The loops for one vector width.</summary>
internal sealed unsafe class VectorProbeKernels<S, V> : ProbeKernels
    where S : struct, ISimd<V>
    where V : struct
{
    // Sums stay near addend / (1 − factor): no overflow, no denormals.
    private const float Factor = 0.5f;

    private const int LineBytes = 64, AheadBytes = 2048;

    public override int NumLanes => S.Lanes;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override float MultiplyAdd(long numRounds)
    {
        V factor = S.Broadcast(Factor), addend = S.Broadcast(1);
        V s0 = addend, s1 = addend, s2 = addend, s3 = addend, s4 = addend, s5 = addend, s6 = addend;
        V s7 = addend, s8 = addend, s9 = addend, s10 = addend, s11 = addend, s12 = addend, s13 = addend;
        for (long round = 0; round < numRounds; round++)
        {
            s0 = S.MultiplyAdd(s0, factor, addend);
            s1 = S.MultiplyAdd(s1, factor, addend);
            s2 = S.MultiplyAdd(s2, factor, addend);
            s3 = S.MultiplyAdd(s3, factor, addend);
            s4 = S.MultiplyAdd(s4, factor, addend);
            s5 = S.MultiplyAdd(s5, factor, addend);
            s6 = S.MultiplyAdd(s6, factor, addend);
            s7 = S.MultiplyAdd(s7, factor, addend);
            s8 = S.MultiplyAdd(s8, factor, addend);
            s9 = S.MultiplyAdd(s9, factor, addend);
            s10 = S.MultiplyAdd(s10, factor, addend);
            s11 = S.MultiplyAdd(s11, factor, addend);
            s12 = S.MultiplyAdd(s12, factor, addend);
            s13 = S.MultiplyAdd(s13, factor, addend);
        }
        return Sum(s0, s1, s2, s3) + Sum(s4, s5, s6, s7) + Sum(s8, s9, s10, s11) + Sum(s12, s13, s12, s13);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override float MultiplyAddFromMemory(ReadOnlySpan<float> operands, long numRounds)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(operands.Length, FedElements, nameof(operands));
        nint step = S.Lanes, end = FedElements / (step * NumSums) * step * NumSums, at = 0;
        V factor = S.Broadcast(Factor);
        V s0 = factor, s1 = factor, s2 = factor, s3 = factor, s4 = factor, s5 = factor, s6 = factor;
        V s7 = factor, s8 = factor, s9 = factor, s10 = factor, s11 = factor, s12 = factor, s13 = factor;
        fixed (float* source = operands)
        {
            for (long round = 0; round < numRounds; round++)
            {
                s0 = S.MultiplyAdd(s0, factor, S.Load(source + at));
                s1 = S.MultiplyAdd(s1, factor, S.Load(source + at + step));
                s2 = S.MultiplyAdd(s2, factor, S.Load(source + at + step * 2));
                s3 = S.MultiplyAdd(s3, factor, S.Load(source + at + step * 3));
                s4 = S.MultiplyAdd(s4, factor, S.Load(source + at + step * 4));
                s5 = S.MultiplyAdd(s5, factor, S.Load(source + at + step * 5));
                s6 = S.MultiplyAdd(s6, factor, S.Load(source + at + step * 6));
                s7 = S.MultiplyAdd(s7, factor, S.Load(source + at + step * 7));
                s8 = S.MultiplyAdd(s8, factor, S.Load(source + at + step * 8));
                s9 = S.MultiplyAdd(s9, factor, S.Load(source + at + step * 9));
                s10 = S.MultiplyAdd(s10, factor, S.Load(source + at + step * 10));
                s11 = S.MultiplyAdd(s11, factor, S.Load(source + at + step * 11));
                s12 = S.MultiplyAdd(s12, factor, S.Load(source + at + step * 12));
                s13 = S.MultiplyAdd(s13, factor, S.Load(source + at + step * 13));
                at += step * NumSums;
                if (at == end) at = 0;
            }
        }
        return Sum(s0, s1, s2, s3) + Sum(s4, s5, s6, s7) + Sum(s8, s9, s10, s11) + Sum(s12, s13, s12, s13);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override float Read(ReadOnlySpan<float> source)
    {
        nint step = S.Lanes, end = source.Length / (step * 8) * step * 8;
        V s0 = default, s1 = default, s2 = default, s3 = default;
        fixed (float* first = source)
        {
            for (nint at = 0; at < end; at += step * 8)
            {
                s0 = S.Add(s0, S.Load(first + at));
                s1 = S.Add(s1, S.Load(first + at + step));
                s2 = S.Add(s2, S.Load(first + at + step * 2));
                s3 = S.Add(s3, S.Load(first + at + step * 3));
                s0 = S.Add(s0, S.Load(first + at + step * 4));
                s1 = S.Add(s1, S.Load(first + at + step * 5));
                s2 = S.Add(s2, S.Load(first + at + step * 6));
                s3 = S.Add(s3, S.Load(first + at + step * 7));
            }
        }
        return Sum(s0, s1, s2, s3);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public override float ReadStreams(ReadOnlySpan<float> source)
    {
        const nint line = LineBytes / sizeof(float), ahead = AheadBytes / sizeof(float);
        nint length = source.Length / NumStreams, end = length / line * line;
        V s0 = default, s1 = default, s2 = default, s3 = default;
        fixed (float* first = source)
        {
            float* second = first + length, third = second + length, fourth = third + length;
            for (nint at = 0; at < end; at += line)
            {
                S.Prefetch((byte*)(first + at + ahead));
                S.Prefetch((byte*)(second + at + ahead));
                S.Prefetch((byte*)(third + at + ahead));
                S.Prefetch((byte*)(fourth + at + ahead));
                for (nint lane = 0; lane < line; lane += S.Lanes)
                {
                    s0 = S.Add(s0, S.Load(first + at + lane));
                    s1 = S.Add(s1, S.Load(second + at + lane));
                    s2 = S.Add(s2, S.Load(third + at + lane));
                    s3 = S.Add(s3, S.Load(fourth + at + lane));
                }
            }
        }
        return Sum(s0, s1, s2, s3);
    }

    private static float Sum(V a, V b, V c, V d) => S.Sum(S.Add(S.Add(a, b), S.Add(c, d)));
}
