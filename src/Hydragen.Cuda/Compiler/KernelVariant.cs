namespace Hydragen.Cuda;

/// <summary>One kernel with the constants that it is compiled for.</summary>
/// <param name="Name">Name of the source file without its extension, and of the entry point.</param>
/// <param name="Defines">Preprocessor constants, <c>NAME=value</c>, separated by spaces.</param>
/// <param name="NumThreads">Threads of a block.</param>
/// <param name="SharedBytes">Dynamic shared memory of a block.</param>
/// <param name="SharesTasks">Whether any number of blocks shares the work; otherwise each item and key/value head has a block of its own.</param>
internal sealed record KernelVariant(string Name, string Defines, int NumThreads, int SharedBytes, bool SharesTasks = false)
{
    public override string ToString() => $"{Name}[{Defines}]";
}
