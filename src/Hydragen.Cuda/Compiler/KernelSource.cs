using System.Reflection;

namespace Hydragen.Cuda;

/// <summary>The kernels' source files, which are embedded in this assembly.</summary>
internal static class KernelSource
{
    private static readonly Assembly Assembly = typeof(KernelSource).Assembly;

    /// <summary>The files that kernels include, by name.</summary>
    public static IReadOnlyDictionary<string, string> Headers { get; } = Assembly.GetManifestResourceNames()
        .Where(name => name.EndsWith(".cuh", StringComparison.Ordinal)).Order(StringComparer.Ordinal).ToDictionary(name => name, Read);

    /// <summary>The names of all kernels.</summary>
    public static IEnumerable<string> Names => Assembly.GetManifestResourceNames()
        .Where(name => name.EndsWith(".cu", StringComparison.Ordinal)).Select(name => Path.GetFileNameWithoutExtension(name)!);

    /// <summary>The text of a kernel's file.</summary>
    public static string Of(string kernel) => Read(kernel + ".cu");

    private static string Read(string name)
    {
        using Stream stream = Assembly.GetManifestResourceStream(name) ?? throw new ArgumentException($"There is no kernel file {name}.", nameof(name));
        using var reader = new StreamReader(stream);
        return reader.ReadToEnd();
    }
}
