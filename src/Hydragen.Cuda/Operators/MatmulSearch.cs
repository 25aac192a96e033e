using System.Diagnostics;

namespace Hydragen.Cuda;

/// <summary>
/// Finds the fastest of some algorithms of a matrix product: each is timed with weights that the last cache does not hold, as in a step of
/// a model, and the best of them again, in turn.
/// </summary>
internal sealed class MatmulSearch(CudaDevice device, OperatorKernels kernels, DeviceMemory workspace) : IDisposable
{
    /// <summary>Algorithms to ask the library for.</summary>
    public const int MaxCandidates = 64;

    private const int FirstRuns = 2, NumFinalists = 6, FinalRuns = 9;

    // Loading the kernels of many algorithms takes the host longer than timing them.
    private static readonly TimeSpan MaxFirstTime = TimeSpan.FromSeconds(0.7);

    private readonly CudaEvent _start = new(device.Context), _end = new(device.Context);
    private readonly double[] _times = new double[MaxCandidates];
    private readonly int[] _order = new int[MaxCandidates];

    /// <summary>How it is chosen: part of the name of what is kept.</summary>
    public static string Way { get; } = $"{MaxCandidates} candidates, cold, {FirstRuns} runs, {NumFinalists} again, {FinalRuns} runs";

    /// <summary>The fastest algorithm.</summary>
    /// <param name="candidates">At most <see cref="MaxCandidates"/>, what the library thinks best first.</param>
    /// <param name="run">Puts the product into the device's stream; false when the library refuses the algorithm.</param>
    public MatmulAlgorithm Fastest(ReadOnlySpan<MatmulCandidate> candidates, Func<MatmulAlgorithm, bool> run)
    {
        Span<double> times = _times.AsSpan(0, candidates.Length);
        Span<int> order = _order.AsSpan(0, candidates.Length);
        times.Fill(double.PositiveInfinity);
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < candidates.Length; i++)
        {
            order[i] = i;
            // The first run loads the kernel. A proposal that does not run is passed over.
            if (i > 0 && Stopwatch.GetElapsedTime(start) > MaxFirstTime || !run(candidates[i].Algorithm)) continue;
            for (int j = 0; j < FirstRuns; j++) times[i] = Math.Min(times[i], Time(candidates[i].Algorithm, run));
        }
        times.Sort(order);
        int numFinalists = Math.Min(NumFinalists, candidates.Length);
        Span<double> finals = stackalloc double[FinalRuns * NumFinalists];
        for (int j = 0; j < FinalRuns; j++)
        {
            for (int i = 0; i < numFinalists; i++)
                finals[i * FinalRuns + j] = double.IsFinite(times[i]) ? Time(candidates[order[i]].Algorithm, run) : double.PositiveInfinity;
        }
        int best = 0;
        for (int i = 0; i < numFinalists; i++)
        {
            finals.Slice(i * FinalRuns, FinalRuns).Sort();
            if (finals[i * FinalRuns + FinalRuns / 2] < finals[best * FinalRuns + FinalRuns / 2]) best = i;
        }
        return candidates[order[best]].Algorithm;
    }

    public void Dispose()
    {
        _start.Dispose();
        _end.Dispose();
    }

    private double Time(MatmulAlgorithm algorithm, Func<MatmulAlgorithm, bool> run)
    {
        // Meanwhile the host puts the rest into the stream.
        kernels.MemoryRead().Launch(4L * device.NumMultiprocessors, 1, new MemoryReadParameters
        {
            Data = workspace.Value,
            Sink = workspace.Value,
            NumChunks = workspace.Bytes / 16,
        });
        _start.Record(device.Stream);
        bool hasRun = run(algorithm);
        _end.Record(device.Stream);
        _end.Synchronize();
        return hasRun ? _end.SecondsSince(_start) : double.PositiveInfinity;
    }
}
