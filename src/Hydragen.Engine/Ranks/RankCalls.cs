using Hydragen.Core;

namespace Hydragen.Engine;

/// <summary>
/// Makes calls on all ranks of a group at once. Rank 0 checks a call and sends it; then all ranks run it by themselves and take the same
/// decisions, because the same code decides from the same tokens. What one rank alone runs into ends the group.
/// </summary>
internal sealed class RankCalls(IRankGroup group)
{
    /// <summary>Runs a call on this rank; rank 0 sends it to the others first.</summary>
    public T Run<T>(Func<EngineCall> call, Func<T> run)
    {
        if (group.Rank == 0) group.Send(call().ToBytes());
        try
        {
            return run();
        }
        catch (Exception exception) when (!HappensEverywhere(exception))
        {
            group.Fail(exception.Message);
            throw;
        }
    }

    /// <summary>Lets the others free a prefix.</summary>
    public void Release(int prefix) => SendIfPossible(new EngineCall(EngineCallKind.ReleasePrefix) { Prefix = prefix });

    /// <summary>Lets the others end.</summary>
    public void End() => SendIfPossible(new EngineCall(EngineCallKind.End));

    /// <summary>Runs what rank 0 sends until it ends.</summary>
    public static void Serve(IRankGroup group, Action<EngineCall> run)
    {
        while (true)
        {
            EngineCall call = EngineCall.FromBytes(group.Receive());
            if (call.Kind == EngineCallKind.End) return;
            try
            {
                run(call);
            }
            catch (Exception exception) when (HappensEverywhere(exception))
            {
                // Rank 0 tells its caller.
            }
            catch (Exception exception)
            {
                group.Fail(exception.Message);
                throw;
            }
        }
    }

    /// <summary>Whether an exception follows from what all ranks have in common.</summary>
    private static bool HappensEverywhere(Exception exception) =>
        exception is OutOfKvMemoryException or InvalidDataException or OperationCanceledException;

    private void SendIfPossible(EngineCall call)
    {
        if (group.Rank != 0 || group.Failed.IsCancellationRequested) return;
        try
        {
            group.Send(call.ToBytes());
        }
        catch (RankGroupException)
        {
            // They know already that the group has ended.
        }
    }
}
