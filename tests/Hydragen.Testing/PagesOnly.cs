using Hydragen.Core;

namespace Hydragen.Testing;

/// <summary>Pages without memory, for what only hands them out.</summary>
/// <param name="shape">The cache's.</param>
/// <param name="pagesPerChunk">The most pages that are made together; 0 for as many as are missing.</param>
public sealed class PagesOnly(KvCacheShape shape, int pagesPerChunk = 0) : KvCache(shape)
{
    public override long BytesOf(PageKind kind) => Shape.BytesPerTokenOf(kind) * PageSize;

    public override void Copy(int sourceSlot, int destinationSlot, int numTokens) => throw new NotSupportedException();

    public override void Write(int layer, ReadOnlySpan<int> slots, ReadOnlySpan<float> key, ReadOnlySpan<float> value) => throw new NotSupportedException();

    public override void FindLargest(int layer, ReadOnlySpan<int> slots, Span<KvMagnitude> largest) => throw new NotSupportedException();

    protected override int PagesPerChunk(int numMissing) => pagesPerChunk > 0 ? pagesPerChunk : numMissing;

    protected override IDisposable Allocate(int firstPage, int numPages, PageKind kind) => Stream.Null;

    protected override void Dispose(bool disposing)
    {
    }
}
