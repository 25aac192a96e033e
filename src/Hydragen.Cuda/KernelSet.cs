namespace Hydragen.Cuda;

/// <summary>One row of the table of kernel sets: a name, and on which GPUs it runs.</summary>
/// <param name="Name">What options and environment call it.</param>
/// <param name="WhyNot">Why it cannot run on a compute capability, or null.</param>
/// <param name="Reason">Why it stands where it does.</param>
internal sealed record KernelSet(string Name, Func<Version, string?> WhyNot, string Reason)
{
    /// <summary>Environment variable that forces a row by name.</summary>
    public const string Variable = "HYDRAGEN_CUDA_KERNEL";

    /// <summary>Kernels of Hopper's own instructions, and portable ones where there are none of those.</summary>
    public static KernelSet Hopper { get; } = new(
        "hopper", capability => capability == KernelCompiler.Hopper ? null : $"wgmma needs compute capability 9.0, and this is {capability}",
        "wgmma and bulk copies, for heads of 64, 128 and 256 elements; mma.sync for others");

    /// <summary>Kernels that run on every GPU.</summary>
    public static KernelSet Portable { get; } = new("portable", _ => null, "mma.sync: every GPU of compute capability 8.0 or later");

    /// <summary>From best to fallback; the last runs everywhere.</summary>
    public static IReadOnlyList<KernelSet> All { get; } = [Hopper, Portable];

    /// <summary>The row that the environment variable forces; null when it is not set.</summary>
    /// <exception cref="ArgumentException">The name is unknown.</exception>
    public static KernelSet? Forced => Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } name ? Find(name, Variable) : null;

    /// <summary>Picks a row for a GPU.</summary>
    /// <param name="option">The name from the options, or null.</param>
    /// <param name="computeCapability">The GPU's.</param>
    /// <param name="reason">Why it was picked.</param>
    /// <exception cref="ArgumentException">The name is unknown.</exception>
    /// <exception cref="PlatformNotSupportedException">The row that was asked for cannot run on this GPU.</exception>
    public static KernelSet Select(string? option, Version computeCapability, out string reason)
    {
        string source = option is null ? Variable : nameof(CudaOptions) + "." + nameof(CudaOptions.KernelSet);
        KernelSet? chosen = string.IsNullOrEmpty(option) ? Forced : Find(option, source);
        if (chosen is null)
        {
            int best = 0;
            while (All[best].WhyNot(computeCapability) is not null) best++;
            reason = All[best].Reason;
            if (best > 0) reason += $"; {All[best - 1].Name} is off: {All[best - 1].WhyNot(computeCapability)}";
            return All[best];
        }
        if (chosen.WhyNot(computeCapability) is { } whyNot)
        {
            throw new PlatformNotSupportedException(
                $"{source} asks for '{chosen.Name}', but {whyNot}; there is {string.Join(", ", All.Where(row => row.WhyNot(computeCapability) is null).Select(row => row.Name))}.");
        }
        reason = $"forced by {source}";
        return chosen;
    }

    private static KernelSet Find(string name, string source) => All.FirstOrDefault(row => row.Name == name) ?? throw new ArgumentException(
        $"{source} names the kernels '{name}', which do not exist; use one of {string.Join(", ", All.Select(row => row.Name))}.");
}
