using System.Runtime.CompilerServices;
using Hydragen.Core;

namespace Hydragen.Cpu;

/// <summary>Up to <see cref="PairSoftmax.MaxUnitKeys"/> keys in pages that follow one another, and what is visible of them.</summary>
internal struct PairUnit
{
    private const int MaxPages = PairSoftmax.MaxUnitKeys / KvCache.PageSize;

    public int NumPages;

    /// <summary>Whether the pages hold bytes; BF16 otherwise.</summary>
    public bool IsByte;

    /// <summary>Absolute position of the first key.</summary>
    public int Position;

    /// <summary>First key and end of the keys that any vector sees.</summary>
    public int Low, High;

    /// <summary>First key and end of the keys that all vectors see.</summary>
    public int CommonLow, CommonHigh;

    /// <summary>Addresses of the pages' keys.</summary>
    public PerPage<nuint> Pages;

    /// <summary>Bytes from each page to what is worth fetching meanwhile; 0 for nothing.</summary>
    public PerPage<nint> Ahead;

    /// <summary>Bytes of an element.</summary>
    public readonly int ElementSize => IsByte ? sizeof(byte) : sizeof(ushort);

    [InlineArray(MaxPages)]
    public struct PerPage<T>
    {
        private T _first;
    }
}
