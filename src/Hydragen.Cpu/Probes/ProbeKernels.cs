using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Hydragen.Cpu;

/// <summary>
/// Loops that do one thing only, as fast as one core can: what benchmarks measure the operators against. Results are returned so that
/// nothing can be left out.
/// </summary>
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
        ProcessorFeatures.HasAvx512 ? new VectorProbeKernels<Simd512, Vector512<float>>()
        : Avx2.IsSupported && Fma.IsSupported ? new VectorProbeKernels<Simd256, Vector256<float>>()
        : new VectorProbeKernels<Simd128, Vector128<float>>();

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

    /// <summary>Reads everything once, as <see cref="NumStreams"/> streams side by side, each fetched ahead.</summary>
    public abstract float ReadStreams(ReadOnlySpan<float> source);
}
