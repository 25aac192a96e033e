namespace Hydragen.Cuda;

/// <summary>One kernel with the constants that it is compiled for.</summary>
/// <param name="Name">Name of the source file without its extension, and of the entry point.</param>
/// <param name="Defines">Preprocessor constants, <c>NAME=value</c>, separated by spaces.</param>
/// <param name="NumThreads">Threads of a block.</param>
/// <param name="SharedBytes">Dynamic shared memory of a block.</param>
internal sealed record KernelVariant(string Name, string Defines, int NumThreads, int SharedBytes)
{
    public override string ToString() => $"{Name}[{Defines}]";
}
