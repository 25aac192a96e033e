using System.Diagnostics;
using Hydragen.Cpu;

namespace Hydragen.Cli.Bench;

/// <summary>
/// Measures the ceilings of the machine and, between measurements, its state. The state is the rate of multiply-adds that take an
/// operand from the first-level cache: a neighbour on the same physical core slows these down, while pure register arithmetic
/// hardly notices it. Where there are tiles, it is the rate of tile products from the first-level cache, against that on registers.
/// </summary>
internal sealed class MachineProbe
{
    private const int QuietAttempts = 5;
    private const long MinReadBytes = 256L << 20, MaxReadBytes = 2L << 30, MaxBytesOfMoment = 1L << 30;

    private static readonly TimeSpan PatienceForQuiet = TimeSpan.FromSeconds(1.5);
    private static readonly TimeSpan ArithmeticTime = TimeSpan.FromMilliseconds(20);

    private readonly ProbeKernels _kernels = ProbeKernels.Best;
    private readonly PairProbe? _pairs;
    private readonly Memory<float> _operands = LargeArray.Allocate(ProbeKernels.FedElements);
    private readonly ThreadTeam _team;
    private readonly long _numRounds, _numPairRounds;
    private MemoryProbe? _memory;
    private double _sink;

    /// <summary>Sets the loops up, for so long that each measurement takes some hundredths of a second.</summary>
    /// <param name="numThreads">Threads that measure together.</param>
    /// <param name="pairs">The products of BF16 pairs that the measured code uses; null when it widens to FP32.</param>
    public MachineProbe(int numThreads, PairProbe? pairs)
    {
        _team = new ThreadTeam(numThreads);
        _pairs = pairs;
        _operands.Span.Fill(1);
        _numRounds = CountRounds(numRounds => _kernels.MultiplyAdd(numRounds));
        if (pairs is not null) _numPairRounds = CountRounds(pairs.Multiply);
    }

    /// <summary>The best state seen so far, in GFLOP/s.</summary>
    public double BestState { get; private set; }

    /// <summary>What products of BF16 are limited by: the instruction.</summary>
    public string BFloat16Unit => _pairs?.Unit ?? "FP32 multiply-add";

    private bool HasTiles => _pairs is { TellsState: true };

    /// <summary>The state of this moment; takes some hundredths of a second.</summary>
    public ProbeSample MeasureState()
    {
        double? peak = HasTiles ? MeasureBFloat16().Rate : null;
        ProbeSample first = HasTiles ? FedTiles() : FedVectors(), second = HasTiles ? FedTiles() : FedVectors();
        ProbeSample better = first.Rate > second.Rate ? first : second;
        BestState = Math.Max(BestState, better.Rate);
        return better with { Peak = peak };
    }

    /// <summary>The reads of memory of this moment, 10⁹ bytes a second, the faster way; takes some hundredths of a second.</summary>
    /// <param name="lastLevelCacheBytes">Size of the last cache.</param>
    public double MeasureReads(long lastLevelCacheBytes)
    {
        _memory ??= new MemoryProbe(_team, Math.Clamp(2 * lastLevelCacheBytes, MinReadBytes, MaxBytesOfMoment));
        return Math.Max(_memory.Read().Rate, _memory.ReadStreams().Rate);
    }

    /// <summary>Products of BF16 on registers, in GFLOP/s.</summary>
    public ProbeSample MeasureBFloat16() => _pairs is null ? Registers() : Pairs(_pairs.Multiply);

    /// <summary>Measures everything; takes a second or two, a little longer while other programs compute.</summary>
    /// <param name="lastLevelCacheBytes">Size of the last cache; far more than that is read.</param>
    /// <param name="maxBytes">The most memory to use.</param>
    /// <param name="cancellationToken">Ends it between two attempts.</param>
    public Ceilings MeasureCeilings(long lastLevelCacheBytes, long maxBytes, CancellationToken cancellationToken)
    {
        long bytes = Math.Min(Math.Clamp(16 * lastLevelCacheBytes, MinReadBytes, MaxReadBytes), Math.Max(MinReadBytes, maxBytes));
        var memory = new MemoryProbe(_team, bytes);
        double fma = 0, pairs = 0, fed = 0, fedPairs = 0, read = 0, streams = 0, share = 0;
        long start = Stopwatch.GetTimestamp();
        for (int quiet = 0; quiet < QuietAttempts && Stopwatch.GetElapsedTime(start) < PatienceForQuiet;)
        {
            cancellationToken.ThrowIfCancellationRequested();
            ProbeSample registers = Registers(), products = MeasureBFloat16(), cache = FedVectors(), front = memory.Read(), sideBySide = memory.ReadStreams();
            if (HasTiles) fedPairs = Math.Max(fedPairs, FedTiles().Rate);
            fma = Math.Max(fma, registers.Rate);
            pairs = Math.Max(pairs, products.Rate);
            fed = Math.Max(fed, cache.Rate);
            read = Math.Max(read, front.Rate);
            streams = Math.Max(streams, sideBySide.Rate);
            double got = ((ProbeSample[])[registers, products, cache, front, sideBySide]).Min(sample => sample.ProcessorShare);
            share = Math.Max(share, got);
            if (got >= MachineState.QuietShare) quiet++;
        }
        BestState = Math.Max(BestState, HasTiles ? fedPairs : fed);
        return new Ceilings(_kernels.NumLanes, fma, fed, read, streams, memory.BytesPerMeasurement, share)
        {
            BFloat16Gflops = pairs,
            BFloat16Unit = BFloat16Unit,
            FedBFloat16Gflops = HasTiles ? fedPairs : null,
        };
    }

    private ProbeSample Registers() => Vectors(() => _kernels.MultiplyAdd(_numRounds));

    private ProbeSample FedVectors() => Vectors(() => _kernels.MultiplyAddFromMemory(_operands.Span, _numRounds));

    private ProbeSample FedTiles() => Pairs(_pairs!.MultiplyFromMemory);

    private ProbeSample Vectors(Func<float> loop) => Arithmetic(() => loop(), 2.0 * _numRounds * ProbeKernels.NumSums * _kernels.NumLanes);

    private ProbeSample Pairs(Func<long, double> loop) => Arithmetic(() => loop(_numPairRounds), (double)_numPairRounds * _pairs!.FlopsPerRound);

    private ProbeSample Arithmetic(Func<double> loop, double flopsPerThread)
    {
        (double seconds, double share) = _team.Run(_ => Volatile.Write(ref _sink, loop()));
        return new ProbeSample(flopsPerThread * _team.NumThreads / seconds / 1e9, share);
    }

    /// <summary>Rounds that take about <see cref="ArithmeticTime"/>.</summary>
    private long CountRounds(Func<long, double> loop)
    {
        long numRounds = 1 << 8;
        while (true)
        {
            long start = Stopwatch.GetTimestamp();
            Volatile.Write(ref _sink, loop(numRounds));
            TimeSpan time = Stopwatch.GetElapsedTime(start);
            if (time > ArithmeticTime / 4) return Math.Max(1, (long)(numRounds * (ArithmeticTime / time)));
            numRounds *= 2;
        }
    }
}
