namespace Hydragen.Cuda.Tests;

/// <summary>The GPU of this machine; tests that need one say so and are skipped where it is missing.</summary>
internal static class Gpu
{
    private static readonly Lazy<string?> Missing = new(() =>
        CudaEnvironment.Probe().Missing is { Count: > 0 } missing ? $"CUDA cannot be used: {string.Join("; ", missing)}." : null);

    /// <summary>A backend; skips the test where there can be none.</summary>
    public static CudaBackend Open() => Open(AttentionWork.DefaultWorkspaceBytes);

    /// <summary>The same with a bound on the workspace.</summary>
    public static CudaBackend Open(long maxWorkspaceBytes)
    {
        if (Missing.Value is { } reason) Assert.Skip(reason);
        return new CudaBackend(null, maxWorkspaceBytes);
    }
}
