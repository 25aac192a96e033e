namespace Hydragen.Cpu;

/// <summary>Settings of a <see cref="CpuBackend"/>. Immutable.</summary>
public sealed record CpuOptions
{
    private readonly int? _numThreads;

    /// <summary>Threads that compute, the caller's included; null means one for each processor.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The value is less than 1 or more than 1024.</exception>
    public int? NumThreads
    {
        get => _numThreads;
        init => _numThreads = value is null or (>= 1 and <= 1024) ? value
            : throw new ArgumentOutOfRangeException(nameof(value), value, "The number of threads must be between 1 and 1024.");
    }

    /// <summary>
    /// The instruction set to use: <c>amx</c>, <c>avx512bf16</c>, <c>avx512</c>, <c>avx2</c> or <c>vector128</c>. Null means what the environment variable
    /// <c>HYDRAGEN_CPU_ISA</c> says or, without it, the best that the processor has.
    /// </summary>
    public string? InstructionSet { get; init; }
}
