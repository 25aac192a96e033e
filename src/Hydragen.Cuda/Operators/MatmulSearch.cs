using System.Diagnostics;

namespace Hydragen.Cuda;

/// <summary>
/// Finds the fastest of some algorithms of a matrix product: each is timed with weights that the last cache does not hold, as in a step of
/// a model, and the best of them again, in turn.
/// </summary>
internal sealed class MatmulSearch(CudaDevice device, OperatorKernels kernels, DeviceMemory workspace) : IDisposable
{
    private const int FirstRuns = 2, NumFinalists = 6, FinalRuns = 9, ReadBlocksPerMultiprocessor = 4;

    // Loading kernels can take longer than timing them.
    private static readonly TimeSpan MaxFirstTime = TimeSpan.FromSeconds(0.7);

    private readonly CudaEvent _start = new(device.Context), _end = new(device.Context);

    /// <summary>The algorithm with the smallest median.</summary>
    /// <param name="algorithms">At least one, those that the library thinks best first.</param>
    /// <param name="run">Puts the product into the device's stream; false when the library refuses the algorithm.</param>
    public MatmulAlgorithm Fastest(List<MatmulAlgorithm> algorithms, Func<MatmulAlgorithm, bool> run)
    {
        var times = new double[algorithms.Count];
        int[] order = [.. Enumerable.Range(0, algorithms.Count)];
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < times.Length; i++)
        {
            times[i] = double.PositiveInfinity;
            // The first run loads the kernel. An algorithm that does not run is passed over.
            if (i > 0 && Stopwatch.GetElapsedTime(start) > MaxFirstTime || !run(algorithms[i])) continue;
            for (int j = 0; j < FirstRuns; j++) times[i] = Math.Min(times[i], Time(algorithms[i], run));
        }
        Array.Sort(times, order);
        int numFinalists = Math.Clamp(times.Count(double.IsFinite), 1, NumFinalists);
        var finals = new double[numFinalists][];
        for (int i = 0; i < numFinalists; i++) finals[i] = new double[FinalRuns];
        for (int j = 0; j < FinalRuns; j++)
        {
            for (int i = 0; i < numFinalists; i++) finals[i][j] = Time(algorithms[order[i]], run);
        }
        foreach (double[] final in finals) Array.Sort(final);
        int best = Enumerable.Range(0, numFinalists).MinBy(i => finals[i][FinalRuns / 2]);
        return algorithms[order[best]];
    }

    public void Dispose()
    {
        _start.Dispose();
        _end.Dispose();
    }

    private double Time(MatmulAlgorithm algorithm, Func<MatmulAlgorithm, bool> run)
    {
        // Fills the last cache with something else; meanwhile the host puts the rest into the stream.
        kernels.MemoryRead().Launch((long)device.NumMultiprocessors * ReadBlocksPerMultiprocessor, 1, new MemoryReadParameters
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
