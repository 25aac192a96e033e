using Hydragen.Core;
using Hydragen.Cuda;

namespace Hydragen.Cli.Bench;

/// <summary>Watches how much of decoding a GPU has work.</summary>
internal static class DeviceShare
{
    /// <summary>Runs something that decodes.</summary>
    /// <param name="backend">Where.</param>
    /// <param name="run">What.</param>
    /// <returns>Its result, and the share of the time from the first step's start to the last one's end in which a step was running; null without a GPU.</returns>
    public static (T Result, double? BusyShare) Watch<T>(IComputeBackend backend, Func<T> run)
    {
        if (backend is not CudaBackend gpu) return (run(), null);
        gpu.Steps.ClearStatistics();
        T result = run();
        return (result, gpu.Steps.Statistics.BusyShare);
    }
}
