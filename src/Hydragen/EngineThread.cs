using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Hydragen.Engine;

namespace Hydragen;

/// <summary>Runs the engine's blocking calls on threads of their own, so that no pool thread is held while a model computes.</summary>
internal static class EngineThread
{
    public delegate GenerationStatistics EngineCall(
        Action<GenerationUpdate>? onUpdate, Action<GenerationResult>? onResult, CancellationToken cancellationToken);

    public static Task<T> RunAsync<T>(Func<T> call) =>
        Task.Factory.StartNew(call, CancellationToken.None, TaskCreationOptions.LongRunning | TaskCreationOptions.DenyChildAttach, TaskScheduler.Default);

    public static async Task<GenerationOutput> CollectAsync(EngineCall call, CancellationToken cancellationToken)
    {
        var results = new List<GenerationResult>();
        GenerationStatistics statistics = await RunAsync(() => call(null, results.Add, cancellationToken)).ConfigureAwait(false);
        results.Sort((a, b) => a.InputIndex != b.InputIndex ? a.InputIndex.CompareTo(b.InputIndex) : a.SampleIndex.CompareTo(b.SampleIndex));
        return new GenerationOutput(results, statistics);
    }

    /// <summary>Streams updates; leaving the loop early ends the computation.</summary>
    public static async IAsyncEnumerable<GenerationUpdate> StreamAsync(
        EngineCall call, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        Channel<GenerationUpdate> channel = Channel.CreateUnbounded<GenerationUpdate>(new() { SingleReader = true, SingleWriter = true });
        Task run = RunAsync(() =>
        {
            try
            {
                call(update => channel.Writer.TryWrite(update), null, stop.Token);
                channel.Writer.Complete();
            }
            catch (Exception exception)
            {
                channel.Writer.Complete(exception);
            }
            return 0;
        });
        try
        {
            await foreach (GenerationUpdate update in channel.Reader.ReadAllAsync(CancellationToken.None).ConfigureAwait(false))
                yield return update;
        }
        finally
        {
            await stop.CancelAsync().ConfigureAwait(false);
            await run.ConfigureAwait(false);
        }
    }
}
