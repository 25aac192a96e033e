using Hydragen.Core;
using Hydragen.Testing;

namespace Hydragen.Engine.Tests;

/// <summary>The books of KV memory, with pages of one size and of two, made one by one or many together.</summary>
public sealed class PageAllocatorTests
{
    [Theory]
    [InlineData(null, 1, false)]
    [InlineData(null, 16, true)]
    [InlineData(ElementType.Float32, 1, false)]
    [InlineData(ElementType.Float32, 4, true)]
    [InlineData(ElementType.Float8E4M3, 16, true)]
    public void Room_that_was_made_can_be_reserved_and_what_is_reserved_can_be_taken(ElementType? prefixType, int pagesPerChunk, bool growsEarly)
    {
        for (int seed = 0; seed < 20; seed++)
        {
            var random = new Random(seed);
            using var cache = new PagesOnly(new KvCacheShape(1, 1, 16, ElementType.Int8, prefixType), pagesPerChunk);
            long maxUnits = 100 * cache.BytesOf(PageKind.Prefix) / PageAllocator.BytesPerUnitOf(cache);
            var allocator = new PageAllocator(cache, maxUnits, growsEarly);
            var spans = new List<(TokenSpan Span, int NumTokens)>();
            int numRefused = 0;
            for (int step = 0; step < 300; step++)
            {
                int action = random.Next(3);
                if (action == 0 && spans.Count > 0)
                {
                    int index = random.Next(spans.Count);
                    allocator.Release(spans[index].Span);
                    spans.RemoveAt(index);
                }
                else if (action == 1 && spans.Count > 0)
                {
                    (TokenSpan span, int numTokens) = spans[random.Next(spans.Count)];
                    allocator.Take(span, random.Next(numTokens + 1));
                }
                else
                {
                    // Now and then more prefixes than sequences, and the other way round.
                    int prefixTokens = random.Next(step / 50 % 2 == 0 ? 1500 : 100), suffixTokens = random.Next(step / 50 % 2 == 0 ? 100 : 1500);
                    if (!allocator.TryMakeRoom(PageAllocator.PagesFor(prefixTokens), PageAllocator.PagesFor(suffixTokens)))
                    {
                        numRefused++;
                        continue;
                    }
                    foreach ((TokenSpan span, int numTokens) in ((TokenSpan, int)[])[(PrefixNode.Create(null, []), prefixTokens), (NewSequence(), suffixTokens)])
                    {
                        allocator.Reserve(span, numTokens);
                        spans.Add((span, numTokens));
                    }
                }
                allocator.CheckIntegrity();
            }
            Assert.True(numRefused > 0);
            foreach ((TokenSpan span, int numTokens) in spans)
            {
                allocator.Take(span, numTokens);
                allocator.CheckIntegrity();
            }
            foreach ((TokenSpan span, _) in spans) allocator.Release(span);
            Assert.Equal(0, allocator.UsedBytes);

            // Nothing is in use, so that all memory can be had for either kind.
            foreach (TokenSpan span in (TokenSpan[])[PrefixNode.Create(null, []), NewSequence()])
            {
                int numPages = (int)(allocator.MaxUnits * allocator.BytesPerUnit / cache.BytesOf(span.Kind));
                Assert.Throws<OutOfKvMemoryException>(() => allocator.Reserve(span, (numPages + 1) * KvCache.PageSize));
                allocator.Reserve(span, numPages * KvCache.PageSize);
                allocator.Take(span, numPages * KvCache.PageSize);
                allocator.CheckIntegrity();
                allocator.Release(span);
            }
        }
    }

    private static Sequence NewSequence() => new(null, [], 1) { InputIndex = 0, SampleIndex = 0, SampleCount = 1, Path = [] };
}
