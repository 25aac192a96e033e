namespace Hydragen.Cuda;

/// <summary>Settings of a <see cref="CudaBackend"/>. Immutable.</summary>
public sealed record CudaOptions
{
    private readonly int _deviceIndex;

    /// <summary>Which GPU, as the driver numbers them.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is negative.</exception>
    public int DeviceIndex
    {
        get => _deviceIndex;
        init => _deviceIndex = value >= 0 ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "A device index cannot be negative.");
    }

    /// <summary>Where compiled kernels and chosen algorithms are kept; null for <c>hydragen/kernels</c> in the user's cache folder.</summary>
    public string? KernelCacheFolder { get; init; }

    /// <summary>
    /// The kernels to use: <c>hopper</c> or <c>portable</c>. Null means what the environment variable <c>HYDRAGEN_CUDA_KERNEL</c> says or,
    /// without it, the best that the GPU runs.
    /// </summary>
    public string? KernelSet { get; init; }

    /// <summary>
    /// Whether steps of decoding are captured as CUDA graphs and replayed. Null means yes, unless the environment variable
    /// <c>HYDRAGEN_CUDA_GRAPHS</c> is 0. The bits are the same.
    /// </summary>
    public bool? UsesGraphs { get; init; }
}
